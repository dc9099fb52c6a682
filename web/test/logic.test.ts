import { describe, expect, test } from "vitest";

import { EventParser, restAfter, staleBy } from "../src/api/events";
import { Beginning } from "../src/api/position";
import { ago, bytes, durationMs, money, seconds, tickStep } from "../src/lib/format";
import { layout, wirePath } from "../src/lib/layers";
import { lookOf } from "../src/lib/phases";
import { initial, missing } from "../src/ui/form";
import { artifactOf, columnsOf } from "../src/ui/value";

describe("how often views are read again", () => {
  test("a quick server is read every quarter of a second, a slow one for half of the time, and no page stands still", () => {
    expect([0, 10, 250].map(restAfter)).toEqual([250, 250, 250]);
    expect(restAfter(1_200)).toBe(1_200);
    expect(restAfter(60_000)).toBe(5_000);
  });
});

describe("the event stream", () => {
  const text = 'id: 7\nevent: run_finished\ndata: {"run":3}\n\n: keep alive\n\nid: 8\nevent: site_drained\ndata: {"site":"a"}\n\n';

  test("is read alike however it is cut", () => {
    const whole = new EventParser().push(text);
    expect(whole.map((event) => [event.id, event.name])).toEqual([
      ["7", "run_finished"],
      ["8", "site_drained"],
    ]);
    for (let cut = 1; cut < text.length; cut += 1) {
      const parser = new EventParser();
      expect([...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))]).toEqual(whole);
    }
  });

  test("leaves out what is not JSON", () => {
    expect(new EventParser().push("data: <html>\n\ndata: {}\n\n")).toHaveLength(1);
  });

  test("names the views that are stale", () => {
    expect(staleBy("human_decided")).toContain("approvals");
    expect(staleBy("resource_applied")).toEqual(["log", "resources", "policy", "runs", "past"]);
    expect(staleBy("site_drained")).toEqual(["log", "sites"]);
    expect(staleBy("attempt_started")).toContain("sites");
    expect(staleBy("something_new")).toEqual(["log", "run"]);
  });
});

describe("the beginning of the stream", () => {
  const heard = (...told: (readonly ["answered" | "begins", number])[]) => {
    let looks = 0;
    const beginning = new Beginning();
    for (const [what, position] of told) what === "answered" ? beginning.answered(position) : beginning.begins(position, () => (looks += 1));
    return looks;
  };

  test("is that of the latest stream, also when the journal behind it is shorter than the one before", () => {
    let looks = 0;
    const beginning = new Beginning();
    beginning.answered(100);
    beginning.begins(100, () => (looks += 1));
    beginning.forget();
    beginning.answered(3);
    beginning.begins(3, () => (looks += 1));
    beginning.answered(4);
    expect(looks).toBe(0);
    // What was asked for before it, and is answered later, is seen by it.
    beginning.answered(2);
    expect(looks).toBe(1);
  });

  test("is no reason to read anything again when nothing happened since", () => {
    expect(heard(["answered", 7], ["begins", 7], ["answered", 7], ["answered", 9])).toBe(0);
    expect(heard(["begins", 7], ["answered", 8])).toBe(0);
  });

  test("has everything read once more when an answer is from before it, whichever comes first", () => {
    expect(heard(["answered", 7], ["answered", 6], ["begins", 8])).toBe(1);
    expect(heard(["begins", 8], ["answered", 7], ["answered", 8])).toBe(1);
    // An answer that was under way all the while.
    expect(heard(["answered", 7], ["begins", 8], ["answered", 8], ["answered", 7])).toBe(2);
  });
});

describe("numbers", () => {
  test("durations are those of the language", () => {
    expect(["30m", "1h30m", "10s", "250ms", "2d", 5].map(durationMs)).toEqual([18e5, 54e5, 1e4, 250, 1728e5, 5e3]);
  });

  test("read as people say them", () => {
    expect([0, 0.0123, 4.56, 125, 7_260, 180_000].map(seconds)).toEqual(["0 s", "12 ms", "4.6 s", "2 m 05 s", "2 h 01 m", "2 d 2 h"]);
    expect([0, 999, 2048, 5_000_000_000].map(bytes)).toEqual(["0 B", "999 B", "2.0 KiB", "4.7 GiB"]);
    expect([0, 1.5, 0.000045].map(money)).toEqual(["0", "1.50", "0.000045"]);
    expect(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:02:10Z"))).toBe("2 min ago");
  });

  test("an axis has no more ticks than it was given", () => {
    for (const span of [3, 900, 61_000, 4e6, 9e8, 1e11]) expect(span / tickStep(span, 8)).toBeLessThanOrEqual(8);
  });
});

describe("layers", () => {
  test("put every node right of what it waits for, and no two in one place", () => {
    const edges: [number, number][] = [[0, 1], [0, 2], [1, 3], [2, 3], [0, 3], [4, 2]];
    const { placed } = layout(5, edges);
    for (const [from, to] of edges) expect(placed[to]!.layer).toBeGreaterThan(placed[from]!.layer);
    expect(new Set(placed.map((at) => `${at.layer} ${at.row}`)).size).toBe(5);
  });

  test("end on a circle and on an edge to nowhere", () => {
    expect(layout(3, [[0, 1], [1, 0], [1, 9], [2, 2]]).placed).toHaveLength(3);
  });

  test("let a wire that passes layers run beside the nodes, and keep a chain straight", () => {
    const edges: [number, number][] = [[0, 1], [1, 2], [2, 3], [0, 3], [0, 2]];
    const { placed, ways } = layout(4, edges);
    expect(placed.map((at) => at.row)).toEqual([0, 0, 0, 0]);
    expect(ways.map((way) => way.length)).toEqual([0, 0, 0, 2, 1]);
    for (const { layer, row } of ways.flat()) for (const node of placed.filter((at) => at.layer === layer)) expect(Math.abs(node.row - row)).toBeGreaterThan(0.5);
    // Wires from one node go together for as long as they can.
    expect(ways[3]![0]).toEqual(ways[4]![0]);
  });

  test("a wire is one line through all its ways", () => {
    expect(wirePath([0, 0], [], [0, 40], true)).toBe("M0 0C0 20 0 20 0 40");
    expect(wirePath([0, 0], [[[50, 40], [50, 80]]], [0, 120], true)).toBe("M0 0C0 20 50 20 50 40L50 80C50 100 0 100 0 120");
  });
});

describe("values", () => {
  test("an artifact is one only when it says so and nothing else", () => {
    const artifact = { $artifact: { digest: "sha256:ab", size: 3 } };
    expect(artifactOf(artifact)?.size).toBe(3);
    expect(artifactOf({ ...artifact, more: 1 })).toBeNull();
    expect(artifactOf([artifact])).toBeNull();
  });

  test("rows that are alike make a table", () => {
    expect(columnsOf([{ a: 1, b: "x" }, { a: 2, b: "y" }])).toEqual(["a", "b"]);
    expect(columnsOf([{ a: 1 }, { b: 2 }])).toBeNull();
    expect(columnsOf([{ a: [1] }, { a: [2] }])).toBeNull();
  });
});

describe("forms", () => {
  const schema = { required: ["why"], properties: { why: { type: "string" }, limit: { type: "integer", default: 10 }, sure: { type: "boolean" } } };

  test("begin with defaults and know what is missing", () => {
    expect(initial(schema)).toEqual({ limit: 10, sure: false });
    expect(missing(schema, initial(schema))).toEqual(["why"]);
    expect(missing(schema, { why: "because" })).toEqual([]);
  });
});

test("an action that waits for a person does not look busy", () => {
  expect(lookOf({ phase: "running", kind: "human" }).tone).toBe("warn");
  expect(lookOf({ phase: "running", kind: "run" }).tone).toBe("busy");
  // What is waited for is said where it is known; nobody is told of room when a worker is missing.
  expect(lookOf({ phase: "waiting_for_resources", kind: "task", waits_for: "a worker that serves shop/price@1" }).words).toBe("waits for a worker that serves shop/price@1");
  expect(lookOf({ phase: "waiting_for_resources", kind: "run" }).words).toBe("waiting to begin");
});
