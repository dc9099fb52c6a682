// Going through the picture with the arrow keys.

export type Place = { id: string; x: number; y: number };
export type Direction = "left" | "right" | "up" | "down";

export const ARROWS: Record<string, Direction> = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };

/** What goes sideways counts for more than what goes ahead. */
const ASIDE = 2;
/** A wire makes a node this much nearer. */
const WIRED = 0.5;

/** The node that an arrow leads to: the nearest one in that direction, wired ones first. */
export function neighbour(places: Place[], wired: (a: string, b: string) => boolean, from: string | undefined, direction: Direction): string | undefined {
  const here = places.find((place) => place.id === from);
  if (!here) return [...places].sort((a, b) => a.x + a.y - b.x - b.y)[0]?.id;
  const sign = direction === "right" || direction === "down" ? 1 : -1;
  const flat = direction === "left" || direction === "right";
  let best: { id: string; distance: number } | undefined;
  for (const place of places) {
    const [ahead, aside] = flat ? [(place.x - here.x) * sign, Math.abs(place.y - here.y)] : [(place.y - here.y) * sign, Math.abs(place.x - here.x)];
    if (place.id === from || ahead <= 0) continue;
    const distance = (ahead + ASIDE * aside) * (wired(here.id, place.id) ? WIRED : 1);
    if (!best || distance < best.distance) best = { id: place.id, distance };
  }
  return best?.id;
}
