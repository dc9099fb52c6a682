import { describe, expect, test } from "vitest";

import { found, matches } from "../src/lib/finding";

describe("finding by words", () => {
  test("takes every word, wherever it stands and however it is written", () => {
    expect(["bank/fraud-model", "Bank/risk", "hospital/reading"].filter((name) => matches(name, "BANK m"))).toEqual(["bank/fraud-model"]);
    expect(matches("anything", "  ")).toBe(true);
  });

  test("has what begins with the words first, and no more than is listed", () => {
    const names = ["demo/run", "a-run", "run-1", "run-2"];
    expect(found(names, "run", (name) => name, 3)).toEqual(["run-1", "run-2", "demo/run"]);
    expect(found(names, "", (name) => name, 2)).toEqual(["demo/run", "a-run"]);
  });
});
