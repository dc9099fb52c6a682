// Rows of a timeline: actions as a tree when there are few, tiles of neighbours when there are many; now, or as they were at a moment.

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

/** The phase that an action was in at a moment; none when it was not there yet. */
export function phaseAt(action: ActionView, at: number | undefined): string | null {
  if (at === undefined) return action.phase;
  const [opened, started, finished] = [time(action.opened_at), time(action.started_at), time(action.finished_at)];
  if (opened === undefined || opened > at) return null;
  if (finished !== undefined && finished <= at) return action.phase;
  if (finished === undefined && isOver(action.phase)) return action.phase;
  return started !== undefined && started <= at ? "running" : "queued";
}

export type Toggles = ReadonlyMap<string, boolean>;

export function rowsOf(actions: ActionView[], toggles: Toggles, now: number, at?: number): Row[] {
  const there = actions.filter((action) => action.opened_at && phaseAt(action, at) !== null);
  const isOpen = (path: string, children: number) => toggles.get(path) ?? children <= OPEN_MAX;
  return readTree(there, isOpen).map(({ item, depth, children }) => {
    const phase = phaseAt(item, at) ?? item.phase;
    const { tone, glyph, words } = lookOf({ phase, kind: item.kind, waits_for: item.waits_for, wait: item.wait });
    const from = time(item.started_at) ?? time(item.opened_at)!;
    const end = time(item.finished_at) ?? (isOver(item.phase) ? from : now);
    const to = Math.max(from, Math.min(end, at ?? end));
    return { key: item.path, label: nameOf(item.path), depth, from: Math.min(from, at ?? from), to, tone, glyph, words, open: children > 0 ? isOpen(item.path, children) : undefined };
  });
}

const ORDER: Tone[] = ["bad", "warn", "busy", "idle", "good"];

export function rowsOfTiles(tiles: TileView[], now: number, at?: number): Row[] {
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
      to: Math.max(from, time(tile.ended_at) ?? at ?? now),
      tone: parts[0]?.tone ?? "idle",
      glyph: single ? shown.glyph : total.toLocaleString(),
      words: single ? shown.words : words.join(", "),
      parts: single ? undefined : parts,
      range: single ? undefined : [tile.from, tile.to],
    };
  });
}

/** The span of time that rows cover. */
export function extent(rows: Row[]): [number, number] {
  let [first, last] = [Infinity, -Infinity];
  for (const row of rows) {
    first = Math.min(first, row.from);
    last = Math.max(last, row.to);
  }
  return rows.length === 0 ? [0, 1] : [first, Math.max(last, first + 1)];
}
