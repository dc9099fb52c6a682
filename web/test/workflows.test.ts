import { describe, expect, test } from "vitest";

import type { TaskView } from "../src/api/types";
import { pairOf, yes } from "../src/lib/address";
import { stamp } from "../src/lib/format";
import { typeWords } from "../src/lib/types";
import { outputsOf, takesOf } from "../src/pages/build/document";
import { callOf, taskOf, templateOf } from "../src/pages/build/tasks";
import { certified, marksOf, runnables } from "../src/pages/workflows/rows";

const task = (name: string, more: Partial<TaskView> = {}): TaskView => ({
  name,
  project: "p",
  domain: "development",
  version: "1",
  versions: 1,
  environment: "env",
  deployed_at: "2026-01-01T00:00:00Z",
  by: "ada",
  owner: "ada",
  inputs: { type: "object", properties: { name: { type: "string" }, factor: { type: "integer" }, times: { type: "array", items: { type: "number" } } }, required: ["name", "factor"] },
  outputs: { type: "object", properties: { o0: { type: "string" }, o1: { type: "integer" } } },
  ...more,
});

describe("the list of what can be run", () => {
  test("has workflows, tasks and apps by name, each with what its runs are runs of", () => {
    const certificate = { governed: true, domains: ["production"], refused: "why" };
    const workflow = { name: "p/zeta", version: 3, applied_at: "2026-01-01T00:00:00Z", by: "ben", owner: "ada", certificate };
    const app = { name: "p/staging/desk", state: "active", url: "", anonymous: false, revision: 2, run: "r1", changed_at: "2026-01-01T00:00:00Z", by: "ben" };
    const rows = runnables([workflow], [task("env.greet")], [app]);
    expect(rows.map((row) => [row.kind, row.name, row.runsOf.join(), row.domains.join()])).toEqual([
      ["app", "desk", "", "staging"],
      ["environment", "env", "p/env.greet", "development"],
      ["task", "env.greet", "p/env.greet", "development"],
      ["workflow", "p/zeta", "p/zeta", "production"],
    ]);
  });

  test("has the runs of a task in its domain, and says that there are none only when that is known", () => {
    const [here, there] = [task("env.greet"), task("env.greet", { domain: "staging" })].map((one) => runnables([], [one], []).find((row) => row.kind === "task")!);
    const mark = (number: number, domain: string) => ({ name: `r${number}`, number, domain, phase: "succeeded", seconds: 1 });
    const runs = new Map([["p/env.greet", [mark(3, "staging"), mark(2, "staging"), mark(1, "production")]]]);
    expect(marksOf(there!, runs).marks.map((run) => run.number)).toEqual([3, 2]);
    expect(marksOf(here!, runs)).toEqual({ marks: [], none: "not lately" });
    expect(marksOf(here!, new Map())).toEqual({ marks: [], none: "never by itself" });
    expect(marksOf(here!).none).toBe("…");
  });

  test("says of a certificate where it holds, where not, and when there is nothing to certify", () => {
    expect(certified({ governed: false, domains: ["development", "staging", "production"] }).state).toBe("ungoverned");
    expect(certified({ governed: true, domains: ["development", "staging", "production"] })).toEqual({ state: "all", words: "● certified for development, staging, production", not: [] });
    expect(certified({ governed: true, domains: ["production"], refused: "no" })).toEqual({ state: "some", words: "◌ certified for production", not: ["development", "staging"] });
    expect(certified({ governed: true, domains: [], refused: "no" }).state).toBe("none");
    // A step that no site can take is refused without any rule, too.
    expect(certified({ governed: false, domains: [], refused: "no" }).state).toBe("none");
  });
});

describe("tasks as nodes", () => {
  const tasks = [task("env.greet", { version: "old" }), task("env.greet", { version: "new", domain: "staging", deployed_at: "2026-02-01T00:00:00Z" })];

  test("are found by name, with or without a version; the latest deployment counts", () => {
    expect(taskOf("env.greet", tasks)?.version).toBe("new");
    expect(taskOf("env.greet@old", tasks)?.name).toBe("env.greet");
    expect(taskOf("env.other", tasks)).toBeUndefined();
    expect(taskOf(undefined, tasks)).toBeUndefined();
  });

  test("begin with all that they need, of the right types", () => {
    expect(templateOf(tasks[0]!)).toEqual({ task: "env.greet", with: { name: "", factor: 0 } });
  });

  test("say what they take and give: a wire has ends", () => {
    const doc = { nodes: { call: { task: "env.greet@new", with: { name: "x" } } } };
    expect(outputsOf(doc, "call", { connectors: [], tasks })).toEqual(["o0", "o1"]);
    expect(takesOf(doc, "call", { connectors: [], tasks })).toEqual(["name", "factor", "times"]);
    expect(outputsOf({ nodes: { call: { task: "nobody" } } }, "call", { connectors: [], tasks })).toEqual([]);
  });

  test("are called by themselves with what is filled in, as it stands", () => {
    const called = JSON.parse(callOf(task("m.t", { version: "v1", project: "demo" }), { a: "${ nodes.x }", b: [1, { c: "${" }] }));
    expect(called).toEqual({ workflow: "demo/run-a-task", nodes: { call: { task: "m.t@v1", with: { a: "$${ nodes.x }", b: [1, { c: "$${" }] } } } });
  });

  test("have types in words", () => {
    expect(Object.values(task("t").inputs!.properties!).map(typeWords)).toEqual(["string", "integer", "a list of number"]);
    expect([typeWords({}), typeWords({ type: "string", format: "date-time" }), typeWords({ type: "object", title: "Pair" })]).toEqual(["anything", "string (date-time)", "Pair"]);
  });
});

describe("an address", () => {
  test("opens a dialog only with what makes sense", () => {
    expect([yes(true), yes("true"), yes(1)]).toEqual([true, undefined, undefined]);
    expect([pairOf(["a", "b"]), pairOf(["a"]), pairOf(["a", 3]), pairOf("a,b")]).toEqual([["a", "b"], undefined, undefined, undefined]);
  });
});

test("a moment is written in UTC when that is wanted", () => {
  expect(stamp("2026-11-27T15:47:44.123Z", "utc")).toBe("2026-11-27 15:47:44Z");
});
