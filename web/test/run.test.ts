import { describe, expect, test } from "vitest";

import type { ActionView, RunView, TileView } from "../src/api/types";
import { nameOf, parentOf, readTree } from "../src/lib/tree";
import { doneBelow } from "../src/pages/run/graph";
import { spanOf } from "../src/pages/run/moment";
import { rowsOf, rowsOfTiles } from "../src/pages/run/rows";

const action = (path: string, fields: Partial<ActionView> = {}): ActionView => ({
  path,
  kind: "run",
  phase: "succeeded",
  attempts: 1,
  seconds: 1,
  cost: 0,
  opened_at: "2026-01-01T00:00:00Z",
  started_at: "2026-01-01T00:00:01Z",
  finished_at: "2026-01-01T00:00:03Z",
  ...fields,
});

describe("the tree of actions", () => {
  test("an action stands below its map, its sub-workflow, or what it is a copy for", () => {
    expect(["train", "score[3]", "sub/clean", "each[2]/clean", "each[2]/score[1]", "deploy<-2c3a7472cc56@cloud/eu"].map(parentOf)).toEqual([null, "score", "sub", "each[2]", "each[2]/score", "deploy"]);
    expect(["train", "score[3]", "sub/clean", "deploy<-2c3a7472cc56@cloud"].map(nameOf)).toEqual(["train", "[3]", "clean", "copy of 2c3a7472 to cloud"]);
  });

  test("is read from the top, what is below a closed one left out, what has lost its parent kept", () => {
    const items = ["a", "b", "a[0]", "a[1]", "a[0]/x", "gone/y"].map((path) => ({ path }));
    expect(readTree(items, () => true).map((leaf) => [leaf.item.path, leaf.depth])).toEqual([
      ["a", 0],
      ["a[0]", 1],
      ["a[0]/x", 2],
      ["a[1]", 1],
      ["b", 0],
      ["gone/y", 0],
    ]);
    expect(readTree(items, () => false).map((leaf) => [leaf.item.path, leaf.children])).toEqual([
      ["a", 2],
      ["b", 0],
      ["gone/y", 0],
    ]);
  });

  test("reads a hundred thousand actions without recursion", () => {
    const items = Array.from({ length: 100_000 }, (_, index) => ({ path: `wide[${index}]` }));
    expect(readTree([{ path: "wide" }, ...items], () => true)).toHaveLength(100_001);
    const deep = Array.from({ length: 20_000 }, (_, index) => ({ path: Array.from({ length: Math.min(index + 1, 50) }, () => "s").join("/") + (index >= 50 ? `[${index}]` : "") }));
    expect(readTree(deep, () => true).length).toBeGreaterThan(0);
  });
});

describe("the rows of a timeline", () => {
  const at = (second: number) => Date.parse("2026-01-01T00:00:00Z") + second * 1000;

  test("what is open reaches until now, or until the moment that is looked at, and nothing reaches back", () => {
    const open = action("b", { phase: "running", finished_at: null });
    const rows = rowsOf([action("a"), open, action("c", { phase: "queued", started_at: null, finished_at: null })], new Map(), at(9));
    expect(rows.map((row) => [row.key, row.words, row.from, row.to])).toEqual([
      ["a", "succeeded", at(1), at(3)],
      ["b", "running", at(1), at(9)],
      ["c", "queued", at(0), at(9)],
    ]);
    expect(rowsOf([open], new Map(), at(0)).map((row) => row.to)).toEqual([at(1)]);
  });

  test("a map of many items begins closed and opens when asked", () => {
    const many = [action("m"), ...Array.from({ length: 40 }, (_, index) => action(`m[${index}]`))];
    expect(rowsOf(many, new Map(), at(9))).toHaveLength(1);
    expect(rowsOf(many, new Map([["m", true]]), at(9))).toHaveLength(41);
  });

  test("a run goes from when it was accepted to its end, or to now", () => {
    const run = { submitted_at: "2026-01-01T00:00:00Z" } as RunView;
    expect(spanOf(run, at(7))).toEqual([at(0), at(7)]);
    expect(spanOf({ ...run, finished_at: "2026-01-01T00:00:02Z" }, at(7))).toEqual([at(0), at(2)]);
    expect(spanOf(run, at(-3))).toEqual([at(0), at(0) + 1]);
  });

  test("what is below a node is counted", () => {
    expect(doneBelow({ succeeded: 7, failed: 1, running: 2, queued: 3 })).toEqual({ done: 8, all: 13 });
    expect(doneBelow(undefined)).toEqual({ done: 0, all: 0 });
  });
});

describe("tiles", () => {
  const tile = (fields: Partial<TileView>): TileView => ({ from: 0, to: 10, first: "m[0]", last: "m[9]", phases: { succeeded: 7, failed: 3 }, began_at: "2026-01-01T00:00:00Z", ended_at: "2026-01-01T00:00:05Z", cost: 0, ...fields });

  test("show the share of each state, what is wrong first", () => {
    const [row] = rowsOfTiles([tile({})], 0);
    expect(row!.parts).toEqual([
      { tone: "bad", share: 0.3 },
      { tone: "good", share: 0.7 },
    ]);
    expect([row!.range, row!.words]).toEqual([[0, 10], "7 succeeded, 3 failed"]);
  });

  test("one action is an action", () => {
    const [row] = rowsOfTiles([tile({ last: "m[0]", to: 1, phases: { running: 1 }, ended_at: null })], Date.parse("2026-01-01T00:00:08Z"));
    expect([row!.key, row!.range, row!.parts]).toEqual(["m[0]", undefined, undefined]);
    expect([row!.from, row!.to]).toEqual([Date.parse("2026-01-01T00:00:00Z"), Date.parse("2026-01-01T00:00:08Z")]);
  });
});
