import { expect, test } from "vitest";

import { staleBy } from "../src/api/events";

test("a question of a program is read as soon as it is asked", () => {
  expect(staleBy("child_opened")).toEqual(["log", "runs", "run", "approvals"]);
});

test("what of the past is kept, and may be seen, is read again when that changes, and not when a run goes on", () => {
  for (const event of ["data_erased", "bodies_pruned", "resource_applied", "resource_deleted", "artifacts_labelled"]) expect(staleBy(event), event).toContain("past");
  for (const event of ["attempt_finished", "actions_opened", "run_finished", "actions_parked"]) expect(staleBy(event), event).not.toContain("past");
});
