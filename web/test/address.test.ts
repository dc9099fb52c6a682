import { describe, expect, test } from "vitest";

import { momentOf, nextSort, oneOf, partOf, rangesOf, sorted, sortOf, textOf } from "../src/lib/address";

describe("what stands in an address", () => {
  test("is taken where it makes sense, whoever wrote it", () => {
    expect([textOf("a"), textOf(""), textOf(3), textOf(true), oneOf("b", ["a", "b"]), oneOf("c", ["a", "b"])]).toEqual(["a", undefined, "3", undefined, "b", undefined]);
    expect([momentOf(1.6e12), momentOf(-1), momentOf("now"), momentOf(Infinity)]).toEqual([1.6e12, undefined, undefined, undefined]);
    expect(rangesOf([[0, 10], [2, 5]])).toEqual([[0, 10], [2, 5]]);
    for (const wrong of [[], "x", [[5, 2]], [[0]], [[0, 1.5]], [[0, 10], "x"], null]) expect(rangesOf(wrong)).toBeUndefined();
    expect(partOf([0.25, 0.5])).toEqual([0.25, 0.5]);
    for (const wrong of [[0, 1], [0.5, 0.2], [-1, 1], [0], "x", [0, NaN]]) expect(partOf(wrong)).toBeUndefined();
  });

  test("sorts by a column up, down and not, and leaves what is alike as it was", () => {
    expect([sortOf("-took", ["took"]), sortOf("evil", ["took"])]).toEqual(["-took", undefined]);
    expect([nextSort(undefined, "took"), nextSort("took", "took"), nextSort("-took", "took"), nextSort("cost", "took")]).toEqual(["took", "-took", undefined, "took"]);
    const items = [{ name: "b", took: 2 }, { name: "a", took: 1 }, { name: "c", took: 2 }];
    const by = (sort?: string) => sorted(items, sort, (item, column) => (column === "took" ? item.took : item.name)).map((item) => item.name).join("");
    expect([by(), by("took"), by("-took"), by("name"), by("-name")]).toEqual(["bac", "abc", "bca", "abc", "cba"]);
  });
});
