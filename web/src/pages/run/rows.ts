// Rows of a timeline: actions as a tree when there are few, tiles of neighbours when there are many.

import type { ActionView, TileView } from "../../api/types";
import { isOver, look, lookOf, type Tone } from "../../lib/phases";
import { nameOf, readTree } from "../../lib/tree";

export type Part = { tone: Tone; share: number };

export type Row = {
  key: string;
  label: string;
  depth: number;
  /** Milliseconds since 1970. */
  from: number;
  to: number;
  tone: Tone;
  glyph: string;
  words: string;
  /** Whether what is below it is shown; undefined when nothing is. */
  open?: boolean;
  /** Of a tile: how its actions are spread over states. */
  parts?: Part[];
  /** Of a tile: the numbers of its actions. */
  range?: [from: number, to: number];
};

/** Maps of more items than this begin closed. */
const OPEN_MAX = 12;

const time = (text: string | null | undefined) => (text ? Date.parse(text) : undefined);

export type Toggles = ReadonlyMap<string, boolean>;

/** Actions as they are when it is `now`: what is open reaches until then. */
export function rowsOf(actions: ActionView[], toggles: Toggles, now: number): Row[] {
  const there = actions.filter((action) => action.opened_at);
  const isOpen = (path: string, children: number) => toggles.get(path) ?? children <= OPEN_MAX;
  return readTree(there, isOpen).map(({ item, depth, children }) => {
    const { tone, glyph, words } = lookOf(item);
    const from = time(item.started_at) ?? time(item.opened_at)!;
    const to = Math.max(from, time(item.finished_at) ?? (isOver(item.phase) ? from : now));
    return { key: item.path, label: nameOf(item.path), depth, from, to, tone, glyph, words, open: children > 0 ? isOpen(item.path, children) : undefined };
  });
}

const ORDER: Tone[] = ["bad", "warn", "busy", "idle", "good"];

export function rowsOfTiles(tiles: TileView[], now: number): Row[] {
  return tiles.map((tile) => {
    const total = Object.values(tile.phases).reduce((sum, count) => sum + count, 0);
    const counts = new Map<Tone, number>();
    for (const [phase, count] of Object.entries(tile.phases)) counts.set(look(phase).tone, (counts.get(look(phase).tone) ?? 0) + count);
    const parts = ORDER.filter((tone) => counts.has(tone)).map((tone) => ({ tone, share: counts.get(tone)! / total }));
    const words = Object.entries(tile.phases).map(([phase, count]) => `${count.toLocaleString()} ${look(phase).words}`);
    const from = Date.parse(tile.began_at);
    const single = total === 1 && tile.first === tile.last;
    const shown = look(Object.keys(tile.phases)[0] ?? "");
    return {
      key: single ? tile.first : `${tile.from}-${tile.to}`,
      label: single ? tile.first : `${tile.first} … ${tile.last}`,
      depth: 0,
      from,
      to: Math.max(from, time(tile.ended_at) ?? now),
      tone: parts[0]?.tone ?? "idle",
      glyph: single ? shown.glyph : total.toLocaleString(),
      words: single ? shown.words : words.join(", "),
      parts: single ? undefined : parts,
      range: single ? undefined : [tile.from, tile.to],
    };
  });
}
