import { describe, expect, test } from "vitest";

import { carried, linesOf, readJson, readLines, taken } from "../src/ui/form";

describe("a list as lines", () => {
  const texts = { type: "array", items: { type: "string" } };
  const numbers = { type: "array", items: { type: "integer" } };

  test("is what it was when it is read again", () => {
    expect(readLines(linesOf(["a b", "c"])!, texts)).toEqual(["a b", "c"]);
    expect(readLines(linesOf([1, 2.5])!, numbers)).toEqual([1, 2.5]);
    expect(readLines("\n1\n\n 2 \n", numbers)).toEqual([1, 2]);
    // A text of digits is a text where texts are wanted.
    expect(readLines("1", texts)).toEqual(["1"]);
  });

  test("is written as JSON where a line cannot say it, and JSON is taken", () => {
    expect([linesOf(["two\nlines"]), linesOf([""]), linesOf(["[x]"]), linesOf([" x"]), linesOf([{}]), linesOf("x")]).toEqual([null, null, null, null, null, null]);
    expect(readLines("[1, 2]", numbers)).toEqual([1, 2]);
    expect(readLines("", numbers)).toBeUndefined();
    // What is no number is told by the server, and not left out.
    expect(readLines("1\nmany", numbers)).toEqual([1, "many"]);
  });
});

test("text that is no JSON yet stays text", () => {
  expect([readJson(" "), readJson('{"a": 1}'), readJson("{")]).toEqual([undefined, { a: 1 }, "{"]);
});

test("what was filled in stays when a form has other fields, what is cleared stays cleared, and what is new begins as it says", () => {
  const before = { properties: { name: { type: "string" }, gone: { type: "string" }, cleared: { type: "integer", default: 3 } } };
  const after = { properties: { name: { type: "string" }, cleared: { type: "integer", default: 3 }, more: { type: "integer", default: 7 } } };
  expect(carried({ name: "Ada", gone: "x" }, before, after)).toEqual({ name: "Ada", more: 7 });
});

test("the values of the last run are taken where there is a field for them", () => {
  expect(taken({ properties: { a: { type: "string" }, constructor: {} } }, { a: "x", gone: 1 })).toEqual({ a: "x" });
});
