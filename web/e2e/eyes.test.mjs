// Four eyes: a decision that two people make together, each in a browser and with a token of their own.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";

const PAY = `workflow: demo/pay
nodes:
  sign:
    human:
      title: Pay 7,000?
      assign: {groups: [risk]}
      show: {amount: 7000}
      form: {type: object, required: [limit], properties: {limit: {type: integer, title: Limit}, comment: {type: string, title: Comment}}}
      second: "\${ true }"
outputs: {decision: "\${ nodes.sign.decision }", by: "\${ nodes.sign.by }", second_by: "\${ nodes.sign.second_by }", limit: "\${ nodes.sign.limit }"}
`;

let server, program, boss, rita, tom;
const waiting = (page) => page.getByRole("button", { name: /^Pay 7,000\?/ });

before(async () => {
  server = await house({ "sites.yaml": SITES, "pay.workflow.yaml": PAY });
  const made = await server.api("POST", "/tokens", { name: "boss", roles: ["admin"] });
  boss = { authorization: `Bearer ${made.token}` };
  const token = async (name) => (await server.api("POST", "/tokens", { name, roles: ["viewer", "approver"], groups: ["risk"] }, boss)).token;
  await server.api("POST", "/runs", { workflow: "demo/pay", name: "pay" }, boss);
  program = await browser();
  const enter = async (name) => {
    const page = await program.page();
    await page.goto(`${server.url}/inbox`);
    await page.getByRole("dialog").getByLabel("Token", { exact: true }).fill(await token(name));
    await page.getByRole("button", { name: "Go on" }).click();
    await waiting(page).waitFor();
    return page;
  };
  rita = await enter("rita");
  tom = await enter("tom");
});

after(async () => {
  await program?.close();
  await server?.stop();
});

describe("a decision of two people", () => {
  test("waits for the second after the first, on both of their screens", async () => {
    for (const page of [rita, tom]) await page.getByText("Two persons decide: this one and another.").waitFor();
    await rita.getByLabel("Limit").fill("500");
    await rita.getByLabel("Comment").fill("as agreed");
    await rita.getByRole("button", { name: "Approve" }).click();
    await rita.getByText("You have decided.").waitFor();
    await rita.getByRole("button", { name: /waits for a second person/ }).waitFor();
    for (const name of ["Approve", "Amend", "Reject"]) assert.equal(await rita.getByRole("button", { name }).isDisabled(), true, name);
    // The other's page says so without being read again by hand, and begins with what the first gave; each has a remark of their own.
    await tom.getByText("rita approved").first().waitFor();
    await tom.waitForFunction(() => [...document.querySelectorAll("input")].some((input) => input.value === "500"));
    assert.equal(await tom.getByLabel("Comment").inputValue(), "");
    assert.equal((await server.api("GET", "/runs/pay?actions=1", undefined, boss)).phase, "running");
  });

  test("is no decision of one person twice, whatever their browser sends", async () => {
    const answer = await rita.evaluate(async () => {
      const headers = { authorization: `Bearer ${sessionStorage.getItem("tutti.token")}`, "content-type": "application/json" };
      const response = await fetch("/api/v1/runs/pay/decision?path=sign", { method: "POST", headers, body: JSON.stringify({ decision: "approve", form: { limit: 500 } }) });
      return [response.status, (await response.json()).detail];
    });
    assert.equal(answer[0], 403);
    assert.match(answer[1], /second decision is for another person/);
  });

  test("goes on when the second agrees, and the run and its history say who both were", async () => {
    await tom.getByRole("button", { name: "Approve" }).click();
    for (const page of [rita, tom]) await waiting(page).waitFor({ state: "detached" });
    await server.until(async () => (await server.api("GET", "/runs/pay?actions=1", undefined, boss)).phase === "succeeded");
    const run = await server.api("GET", "/runs/pay?actions=1", undefined, boss);
    assert.deepEqual(run.outputs, { decision: "approve", by: "rita", second_by: "tom", limit: 500 });
    await tom.goto(`${server.url}/runs/pay?tab=history`);
    for (const who of ["rita", "tom"]) await tom.getByRole("listitem").filter({ hasText: "decided" }).filter({ hasText: who }).first().waitFor();
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
