import { describe, expect, test } from "vitest";

import type { Forbidden, Remedy } from "../src/api/editing";
import { policyDocument, tokens } from "../src/lib/cedar";
import { tagColour } from "../src/lib/tags";
import { inputsOf, inputsRead, outputsOf, wireData } from "../src/pages/build/document";
import { barred, remedied } from "../src/pages/build/drawing";
import { parsed } from "../src/pages/build/teststep";
import { questionOf } from "../src/pages/governance/question";
import { asked, isFor } from "../src/pages/inbox";

const doc = {
  inputs: { n: { type: "integer", default: 3 } },
  nodes: {
    read: { run: ["x"], outputs: { table: "table", rows: "integer" } },
    mask: { run: ["m"], with: { checked: "${ nodes.read.table }" } },
    all: { each: { items: [1], do: { use: "core/noop", with: { i: "${ item + inputs.n }" } } } },
    ask: { human: { title: "?", show: { rows: "${ nodes.read.rows }" } } },
    pick: { decide: [] },
  },
};

describe("a wire of data", () => {
  test("is written where the node keeps what it is given, whatever its kind", () => {
    expect(wireData(doc, "read", "rows", "mask", "rows")).toEqual({ op: "set", path: "/nodes/mask/with/rows", value: "${ nodes.read.rows }" });
    expect(wireData(doc, "read", null, "all", "read")).toEqual({ op: "set", path: "/nodes/all/each/do/with/read", value: "${ nodes.read }" });
    expect(wireData(doc, "read", "table", "ask", "table")).toEqual({ op: "set", path: "/nodes/ask/human/show/table", value: "${ nodes.read.table }" });
    expect(wireData(doc, "read", "table", "pick", "table")).toBeNull();
    expect([inputsOf(doc, "ask"), inputsOf(doc, "pick"), outputsOf(doc, "read")]).toEqual([["rows"], null, ["table", "rows"]]);
  });

  test("a node is barred only when nothing of what is given may go there", () => {
    const refused = { path: "far", label: ["pii"], policies: {}, trails: {}, closest: [], notes: [] };
    const wire = (to: string, field: string | null): Forbidden => ({ to, field, refused, allowed_at: [], remedies: [] });
    const gives = [{ field: null }, { field: "table" }];
    expect(Object.keys(barred(gives, [wire("far", null), wire("far", "table"), wire("near", null)]))).toEqual(["far"]);
  });

  test("a sanitizer is put in between under a free name, and reads what the wire began with", () => {
    const remedy: Remedy = { sanitizer: "mask", label: [], existing: null, insert: { run: ["m"], with: { checked: "${ wired }" } }, field: "table" };
    expect(remedied(doc, "read", "table", "ask", remedy)).toEqual([
      { op: "add", node: "mask_2", value: { run: ["m"], with: { checked: "${ nodes.read.table }" } }, below: "read" },
      { op: "set", path: "/nodes/ask/human/show/table", value: "${ nodes.mask_2.table }" },
    ]);
    expect(remedied(doc, "read", "table", "ask", { ...remedy, existing: "mask", insert: null })).toEqual([{ op: "set", path: "/nodes/ask/human/show/table", value: "${ nodes.mask.table }" }]);
  });
});

describe("a test of a step", () => {
  test("asks for the inputs that the node reads, and for JSON", () => {
    expect(inputsRead(doc.nodes.all)).toEqual(["n"]);
    expect([parsed("[1]"), parsed("no"), parsed(undefined)]).toEqual([[1], undefined, undefined]);
  });
});

describe("the colours of Cedar", () => {
  test("keep every character, in order", () => {
    const text = '// why\n@id("a\\"b")\nforbid (principal, action == Action::"run", resource)\nwhen { context.n > 5 && "unclosed\n é };';
    expect(tokens(text).map((token) => token.text).join("")).toBe(text);
    const found = (is: string) => tokens(text).filter((token) => token.is === is).map((token) => token.text);
    expect([found("comment"), found("effect"), found("annotation"), found("entity")]).toEqual([["// why"], ["forbid"], ["@id"], ["Action::"]]);
  });

  test("a policy becomes a document that holds its text as it is", () => {
    const text = policyDocument({ name: "a", description: 'says "no"', closed: false, approvals: 2, cedar: "  forbid (a);\n\npermit (b);\n" });
    expect(text).toBe('kind: policy\nname: "a"\ndescription: "says \\"no\\""\napprovals: 2\ncedar: |2\n    forbid (a);\n\n  permit (b);\n');
  });

  test("a tag has the same colour everywhere", () => {
    expect(tagColour("pii")).toBe(tagColour("pii"));
    expect(tagColour("pii")).toMatch(/^var\(--tag-[0-5]\)$/);
  });
});

describe("whose question it is", () => {
  const me = { name: "rita", groups: ["risk"], roles: [] };
  const then = [{ after: "30m", users: ["rita"] }];
  test("by name, by group, and everybody's when it is asked of nobody", () => {
    expect(isFor({ assign: { users: ["rita"] }, escalated: 0 }, "mine", me)).toBe(true);
    expect(isFor({ assign: { users: ["tom"] }, escalated: 0 }, "mine", me)).toBe(false);
    expect(isFor({ assign: { groups: ["risk"] }, escalated: 0 }, "groups", me)).toBe(true);
    expect(isFor({ assign: {}, escalated: 0 }, "groups", me)).toBe(true);
    expect(isFor({ assign: { users: ["tom"] }, escalated: 0 }, "all", me)).toBe(true);
  });

  test("escalation asks more people", () => {
    expect(isFor({ assign: { users: ["tom"], then }, escalated: 0 }, "mine", me)).toBe(false);
    expect(isFor({ assign: { users: ["tom"], then }, escalated: 1 }, "mine", me)).toBe(true);
    expect(asked({ assign: { users: ["tom"], then }, escalated: 1 })).toEqual({ users: ["tom", "rita"], groups: [] });
  });
});

describe("a question in an address", () => {
  test("keeps what is known and of the right kind, and nothing else", () => {
    expect(questionOf({ workflow: "bank/loan", label: ["pii"], roles: "boss", other: 1 })).toEqual({ workflow: "bank/loan", label: ["pii"] });
    expect(questionOf({ label: [1] })).toBeUndefined();
    expect(questionOf("pii")).toBeUndefined();
    expect(questionOf([])).toBeUndefined();
  });
});
