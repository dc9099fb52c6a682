import { describe, expect, test } from "vitest";

import { budgetOf, spendToday } from "../src/lib/spend";

const project = (name: string, spent_day: number, budget_day?: number, left?: number) => ({ name, spent_day, budget_day, left });

describe("what was spent today", () => {
  test("is the sum over all projects, those without a budget too", () => {
    expect(spendToday([project("bank", 1.5, 2, 0.5), project("lab", 2)])).toBe(3.5);
    expect(spendToday([])).toBe(0);
  });

  test("stands beside what may be", () => {
    expect(budgetOf([project("lab", 2)])).toBeNull();
    expect(budgetOf([project("bank", 1.5, 2, 0.5), project("shop", 0, 4, 4)])).toEqual({ words: "4.50 of the budgets left", over: false });
  });

  test("names who is over, or close to it", () => {
    expect(budgetOf([project("bank", 3, 2, -1), project("shop", 0, 4, 4)])).toEqual({ words: "used up by bank", over: true });
    expect(budgetOf([project("bank", 1.9, 2, 0.1), project("shop", 0, 4, 4)])).toEqual({ words: "nearly used up by bank", over: false });
    // A budget of the month alone says nothing of a day.
    expect(budgetOf([project("bank", 0, undefined, 0.1)])?.words).toBe("0.10 of the budgets left");
  });
});
