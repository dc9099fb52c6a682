import { expect, test } from "vitest";

import { blind } from "../src/pages/admin";

test("a token for the inbox that may not look at it is told before it is made", () => {
  expect(blind(["approver"])).toBe(true);
  expect(blind(["approver", "worker"])).toBe(true);
  for (const roles of [["approver", "viewer"], ["approver", "operator"], ["admin", "approver"], ["worker"], ["viewer"], []]) expect(blind(roles), roles.join()).toBe(false);
});
