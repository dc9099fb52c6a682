import { describe, expect, test } from "vitest";

import { findingsBy, freeName, inputsRead, parseField, pins, reading, references, unwireAfter, wireAfter, wires } from "../src/pages/build/document";
import { neighbour } from "../src/pages/build/walk";
import { onLatest, reduce, type State } from "../src/pages/build/sheet";
import { difference, toUnits } from "../src/pages/build/text";

const doc = {
  workflow: "a/b",
  nodes: {
    first: { run: ["x"] },
    second: { use: "core/noop", with: { a: "${ nodes.first.x + nodes.first.y }" }, after: "third" },
    third: { decide: [{ when: "${ nodes.first.x > 1 }", then: "second" }, { otherwise: ["fourth"] }] },
    fourth: { human: { title: "no ref: nodes.second" }, undo: { use: "core/noop", with: { r: "${ nodes.fourth.r }" } } },
  },
  layout: { first: [10, 20], nobody: 3 },
};

describe("the picture of a document", () => {
  test("has a wire for each reference, each `after` and each branch", () => {
    const found = wires(doc).map((wire) => `${wire.from} ${wire.kind} ${wire.to}`);
    expect(found.sort()).toEqual(["first data second", "first data third", "third after second", "third branch fourth", "third branch second"]);
  });

  test("reads references in expressions only", () => {
    expect(references(["nodes.a.b", "${ nodes.c.d } and ${nodes.e}"])).toEqual(["c", "e"]);
  });

  test("reads them as the language does: bare in conditions, in brackets, past texts and inner braces", () => {
    expect(references({ if: "nodes.a.ok && nodes['b-c'].x > 1", note: "nodes.z", with: { m: '${ {"k": nodes.d.x, "t": "nodes.no"} }', e: "$${ nodes.no }", f: "${ item.nodes.no + nodes . e . x }" } })).toEqual(["a", "b-c", "d", "e"]);
    expect(references([{ when: "nodes.f.x", then: "nodes.no" }])).toEqual(["f"]);
    expect(inputsRead({ second: "inputs.much > 3", x: '${ inputs["a-b"] }' })).toEqual(["much", "a-b"]);
  });

  test("writes what it reads so that it can be read", () => {
    expect([reading("a", null), reading("a", "x"), reading("my-node", "a-b")]).toEqual(["${ nodes.a }", "${ nodes.a.x }", '${ nodes["my-node"]["a-b"] }']);
    expect(references(reading("my-node", "x"))).toEqual(["my-node"]);
  });

  test("is there whatever a node is called", () => {
    const odd = { nodes: { constructor: { run: ["x"] }, toString: { use: "core/noop", with: { a: "${ nodes.constructor.x }" } } } };
    expect(wires(odd)).toEqual([{ from: "constructor", to: "toString", kind: "data" }]);
    expect([findingsBy(odd, "", []).constructor, pins(odd).toString]).toEqual([undefined, undefined]);
  });

  test("takes only pins that are places", () => {
    expect(pins(doc)).toEqual({ first: [10, 20] });
  });

  test("a wire drawn is an `after`, once; taking it away leaves no empty list", () => {
    expect(wireAfter(doc, "first", "second")).toEqual({ op: "set", path: "/nodes/second/after", value: ["third", "first"] });
    expect(wireAfter(doc, "third", "second")).toBeNull();
    expect(unwireAfter(doc, "third", "second")).toEqual({ op: "unset", path: "/nodes/second/after" });
  });

  test("a new node gets a name that is free and may be one", () => {
    expect(freeName(doc, "first")).toBe("first_2");
    expect(freeName(doc, "9 lives!")).toBe("lives_");
  });

  test("a finding belongs to the node whose lines it stands in, also behind letters of several bytes", () => {
    const text = "# ä€😀\nnodes:\n  first:\n    run: [x]\n  second:\n    use: nope\n";
    const start = new TextEncoder().encode(text.slice(0, text.indexOf("nope"))).length;
    const finding = { code: "W0201", severity: "error" as const, message: "", span: { start, end: start + 4 } };
    expect(Object.keys(findingsBy(doc, text, [finding]))).toEqual(["second"]);
  });
});

test("an edit is made on what stands there when it is answered: what was typed meanwhile is not lost", async () => {
  let text = "a";
  const made = await onLatest(async (of) => {
    if (of === "a") text = "ab";
    return `${of}!`;
  }, () => text);
  expect(made).toBe("ab!");
});

test("a field's text is the value it looks like", () => {
  expect(["3", "0.5", "true", "[1, 2]", '{"a": 1}', "${ x }", "[broken", "5m"].map(parseField)).toEqual([3, 0.5, true, [1, 2], { a: 1 }, "${ x }", "[broken", "5m"]);
});

describe("the text", () => {
  test("places in bytes are found in the editor's units", () => {
    const text = "aä€😀b";
    expect(toUnits(text, [0, 1, 3, 6, 10, 11])).toEqual([0, 1, 2, 3, 5, 6]);
  });

  test("two texts differ in one smallest change", () => {
    for (const [old, text] of [["abc", "abXc"], ["aa", "a"], ["", "x"], ["same", "same"], ["abab", "ab"]] as const) {
      const { from, to, insert } = difference(old, text).changes;
      expect(old.slice(0, from) + insert + old.slice(to)).toBe(text);
    }
  });
});

describe("steps", () => {
  const sheet = (text: string) => ({ text, notices: [], findings: [], document: {}, notes: {} });
  const opened: State = { sheet: sheet("a"), text: "a", past: [], future: [], saved: "a", typed: false, refused: null };

  test("typing on is one step, an edit is another", () => {
    let state = reduce(opened, { is: "typed", text: "ab" });
    state = reduce(state, { is: "typed", text: "abc" });
    expect(state.past).toEqual(["a"]);
    state = reduce(state, { is: "read", sheet: sheet("abc") });
    state = reduce(state, { is: "edited", sheet: sheet("abcd") });
    expect(state.past).toEqual(["a", "abc"]);
  });

  test("an answer about an older text changes nothing on the screen", () => {
    const state = reduce(reduce(opened, { is: "typed", text: "ab" }), { is: "read", sheet: sheet("a") });
    expect(state.text).toBe("ab");
    expect(state.sheet?.text).toBe("a");
    // The picture waits while letters come, and follows what is drawn at once.
    expect(state.typed).toBe(true);
    expect(reduce(state, { is: "edited", sheet: sheet("b") }).typed).toBe(false);
  });
});

describe("the arrows", () => {
  const places = [
    { id: "a", x: 0, y: 0 },
    { id: "b", x: 264, y: 0 },
    { id: "c", x: 264, y: 104 },
    { id: "d", x: 528, y: 52 },
  ];
  const wired = (one: string, other: string) => ["a c", "c a"].includes(`${one} ${other}`);

  test("follow a wire before they go straight on", () => {
    expect(neighbour(places, wired, "a", "right")).toBe("c");
    expect(neighbour(places, () => false, "a", "right")).toBe("b");
    expect(neighbour(places, wired, "c", "up")).toBe("b");
    expect(neighbour(places, wired, "d", "right")).toBeUndefined();
    expect(neighbour(places, wired, undefined, "left")).toBe("a");
  });
});
