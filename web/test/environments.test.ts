import { describe, expect, test } from "vitest";

import type { RunMark, TaskView } from "../src/api/types";
import { marksOf, runnables } from "../src/pages/workflows/rows";

const task = (name: string, fields: Partial<TaskView> = {}): TaskView => ({
  name,
  project: "ml",
  domain: "development",
  version: "v1",
  versions: 1,
  environment: name.split(".")[0]!,
  deployed_at: "2026-01-01T00:00:00Z",
  by: "ann",
  owner: "ann",
  inputs: null,
  outputs: null,
  ...fields,
});
const run = (number: number, domain = "development"): RunMark => ({ name: `run-${number}`, number, domain, phase: "succeeded", seconds: 1 });

describe("the environments of deployed tasks", () => {
  const rows = runnables([], [task("train.fit"), task("train.score", { version: "v2", deployed_at: "2026-01-02T00:00:00Z", by: "bob", owner: "bob" }), task("train.fit", { domain: "production" }), task("alone", { environment: "" })], []);

  test("are rows of the list, one in each domain, before their tasks", () => {
    expect(rows.map((row) => `${row.kind} ${row.key.split(" ").at(-1)}`)).toEqual([
      "task ml/development/alone",
      "environment ml/development/train",
      "environment ml/production/train",
      "task ml/development/train.fit",
      "task ml/production/train.fit",
      "task ml/development/train.score",
    ]);
  });

  test("say what was deployed last, and of whom they are", () => {
    expect(rows[1]).toMatchObject({ name: "train", version: "v2", by: "bob", owner: "ann, bob", at: "2026-01-02T00:00:00Z", domains: ["development"] });
  });

  test("have the runs of their tasks, the newest first, and none of another domain", () => {
    const known = new Map([["ml/train.fit", [run(5), run(1, "production")]], ["ml/train.score", [run(7), run(2)]]]);
    expect(marksOf(rows[1]!, known).marks.map((mark) => mark.number)).toEqual([7, 5, 2]);
    expect(marksOf(rows[2]!, known).marks.map((mark) => mark.number)).toEqual([1]);
    expect(marksOf(rows[1]!, new Map())).toEqual({ marks: [], none: "never by itself" });
  });
});
