import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { saying, WORDS } from "../src/ui/facts";

test("every fact that the server tells has a sentence", () => {
  const source = readFileSync(join(import.meta.dirname, "../../crates/api/src/rest/events.rs"), "utf8");
  const names = [.../fn name_of\([^]*?\n\}/.exec(source)![0].matchAll(/=> "([a-z_]+)"/g)].map((match) => match[1]!);
  expect(names.length).toBeGreaterThan(40);
  expect(names.filter((name) => !(name in WORDS))).toEqual([]);
});

test("a fact names its actions, the first few of many, and not their numbers", () => {
  const fact = { seq: 1, event: "actions_placed", data: { at: "", site: "onprem", actions: [3, 4, 5, 6, 7, 8] }, actions: ["a", "b", "c", "d"] };
  expect(saying(fact)).toBe("placed · a, b, c, d and 2 more · at onprem");
  expect(saying({ seq: 2, event: "attempt_finished", data: { at: "", action: 3, phase: "failed" }, actions: ["train"] })).toBe("an attempt ended · train · failed");
});
