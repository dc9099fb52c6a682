import { describe, expect, test } from "vitest";

import type { Scope, TypeView } from "../src/api/editing";
import { brief, expressionsIn, expressionsOf, expressionsWithin, fragmentAt, suggestionsAt, typeAt, valueAt } from "../src/lib/expressions";

const type = (name: string, more: Partial<TypeView> = {}): TypeView => ({ name, ...more });
const scope: Scope = {
  names: {
    inputs: type("an object", { fields: { bar: type("a number", { labels: ["internal"] }), name: type("a text") } }),
    nodes: type("an object", { fields: { split: type("an object", { fields: { parts: type("a list of artifact", { item: type("an artifact", { fields: { digest: type("a text") } }) }), rows: type("a whole number") } }), "my-node": type("an object", { fields: { x: type("a text") } }) } }),
    run: type("an object", { fields: { name: type("a text") } }),
  },
  functions: ["size", "startsWith"],
};

/** What is offered at the bar in a text. */
const offered = (text: string, bare = false) => {
  const caret = text.indexOf("|");
  const fragment = fragmentAt(text.replace("|", ""), caret, bare);
  return fragment && suggestionsAt(scope, fragment).map((one) => one.name);
};

describe("expressions in a text", () => {
  test("are found past texts and inner braces, as the language finds them", () => {
    expect(expressionsIn("a ${ x } b ${ {'}': \"}\"} } $${ no }").map((one) => one.source)).toEqual(["x", "{'}': \"}\"}"]);
    expect(expressionsIn("rows: ${ nodes.a")).toEqual([{ source: "nodes.a", from: 8, to: 16 }]);
    expect(expressionsOf("nodes.a.ok", true).map((one) => one.source)).toEqual(["nodes.a.ok"]);
    expect(expressionsOf("nodes.a.ok", false)).toEqual([]);
    expect(expressionsOf("${ nodes.a.ok }", true).map((one) => one.source)).toEqual(["nodes.a.ok"]);
  });

  test("are found in every part of a value, each once", () => {
    expect(expressionsWithin({ a: ["${ x }", { b: "${ x } ${ y }" }], c: 3 })).toEqual(["x", "y"]);
  });
});

describe("what could be written next", () => {
  test("are the names, then what they have", () => {
    expect(offered("${ |")).toEqual(["inputs", "nodes", "run"]);
    expect(offered("${ inputs.|")).toEqual(["bar", "name"]);
    expect(offered("${ nodes.split.r|")).toEqual(["rows", "parts"]);
    expect(offered("${ nodes.split.rows > inputs.b|")).toEqual(["bar"]);
    expect(offered("x ${ size(nodes.split.p| ) } y")).toEqual(["parts"]);
    expect(offered("${ nodes.split.parts[0].|")).toEqual(["digest"]);
    expect(offered("${ st|")).toEqual(["startsWith()"]);
  });

  test("is nothing outside of an expression, within a text, or where nothing is known", () => {
    expect(offered("inputs.|")).toBeNull();
    expect(offered("${ inputs.bar } inputs.|")).toBeNull();
    expect(offered("${ 'inputs.|")).toBeNull();
    expect(offered('${ "a" + "nodes.|')).toBeNull();
    expect(offered("${ nodes.nobody.|")).toEqual([]);
  });

  test("needs no braces in a condition", () => {
    expect(offered("nodes.split.|", true)).toEqual(["parts", "rows"]);
    expect(offered("|", true)).toEqual(["inputs", "nodes", "run"]);
  });

  test("is written in brackets when a path cannot hold its name", () => {
    const text = "${ nodes.my";
    const [first] = suggestionsAt(scope, fragmentAt(text, text.length, false)!);
    expect(text.slice(0, first!.from) + first!.insert).toBe('${ nodes["my-node"]');
    expect(offered('${ nodes["my-node"].|')).toEqual(["x"]);
  });

  test("has types and tags", () => {
    const text = "${ inputs.b";
    expect(suggestionsAt(scope, fragmentAt(text, text.length, false)!)[0]).toMatchObject({ type: "a number", labels: ["internal"], steps: ["inputs", "bar"] });
    expect(typeAt(scope, ["nodes", "split", "parts", 3])?.name).toBe("an artifact");
    expect(typeAt(scope, ["nothing"])).toBeUndefined();
  });
});

describe("values of the last run", () => {
  test("are found by the path, and shown short", () => {
    const past = { inputs: { bar: 0.5 }, nodes: { split: { parts: ["a", "b"] } } };
    expect(valueAt(past, ["nodes", "split", "parts", 1])).toBe("b");
    expect(valueAt(past, ["nodes", "nobody", "x"])).toBeUndefined();
    expect(brief({ $artifact: { kind: "table", name: "rows.csv", digest: "sha256:x", size: 1 } })).toBe("table rows.csv");
    expect(brief("x".repeat(500))).toHaveLength(80);
    expect(brief(null)).toBe("null");
  });
});
