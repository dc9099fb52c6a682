// Sites say what runs there, with the way to it; and the inbox says when a question goes on to others.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";

const WORK = `kind: connector
name: t/hold
version: 1
---
workflow: demo/hold
nodes:
  hold: {use: t/hold, needs: {cpu: 1, site: {zone: on-premise}}}
`;

const QUEUE = `workflow: demo/queue
nodes:
  big: {run: {script: sleep 300}, needs: {cpu: 4, site: {zone: on-premise}}}
`;

const ANYWHERE = `workflow: demo/anywhere
nodes:
  long: {run: {script: sleep 300}, needs: {cpu: 1}}
`;

const ASK = `workflow: demo/ask
nodes:
  ask: {human: {title: Well?, assign: {users: [rita], then: [{after: 4h, groups: [chiefs]}]}}}
`;

let server, program, page;

before(async () => {
  server = await house({ "sites.yaml": SITES, "hold.yaml": WORK, "queue.workflow.yaml": QUEUE, "anywhere.workflow.yaml": ANYWHERE, "ask.workflow.yaml": ASK });
  program = await browser();
  page = await program.page();
});

after(async () => {
  await program?.close();
  await server?.stop();
});

describe("a site", () => {
  test("names what runs there, leads to it, and lets go of it when it is over", async () => {
    await page.goto(`${server.url}/sites`);
    const card = page.locator("section", { hasText: "onprem" });
    await card.getByText("0 actions").waitFor();
    await server.api("POST", "/runs", { workflow: "demo/hold", name: "holding" });
    const lease = await server.api("POST", "/workers/lease", { worker: "w", connectors: ["t/hold@1"], slots: 1 });
    const list = card.getByRole("list", { name: "What runs at onprem" });
    await list.getByRole("link", { name: "hold of holding" }).waitFor();
    await card.getByText("1 action", { exact: false }).first().waitFor();
    await list.getByRole("link", { name: "hold of holding" }).click();
    await page.waitForURL(/\/runs\/holding\?action=hold/);
    await page.goBack();
    await list.waitFor();
    const [{ attempt, epoch }] = lease.leases;
    await server.api("POST", "/workers/report", { worker: "w", reports: [{ attempt, epoch, output: {} }] });
    await list.waitFor({ state: "detached" });
    await card.getByText("0 actions").waitFor();
  });
});

describe("the queue of a site", () => {
  test("says what waits for it, for how long and why, and is empty when it has begun", async () => {
    await page.goto(`${server.url}/sites`);
    const card = page.locator("section", { hasText: "onprem" });
    await card.getByText("nothing waits").waitFor();
    // Four cores of four: the second has to wait for the first.
    await server.api("POST", "/runs", { workflow: "demo/queue", name: "first" });
    await card.getByRole("list", { name: "What runs at onprem" }).getByRole("link", { name: "big of first" }).waitFor();
    await card.getByText("4 of 4").waitFor();
    await server.api("POST", "/runs", { workflow: "demo/queue", name: "second" });
    const list = card.getByRole("list", { name: "What waits for onprem" });
    const item = list.getByRole("listitem").filter({ hasText: "big of second" });
    await item.getByText(/waits for its room: no room at the moment/).waitFor();
    await card.getByText(/1 action, the first since/).waitFor();
    await page.locator("section", { hasText: "cloud" }).getByText("nothing waits").waitFor();
    await item.getByRole("link").click();
    await page.waitForURL(/\/runs\/second\?action=big/);
    await page.goBack();
    await list.waitFor();
    await server.api("POST", "/runs/first/cancel", {});
    await list.waitFor({ state: "detached" });
    await card.getByText("nothing waits").waitFor();
    await server.api("POST", "/runs/second/cancel", {});
    await card.getByText("0 actions").waitFor();
  });
});

describe("draining a site", () => {
  test("asks first, moves what runs to another place, and can be taken back", async () => {
    const card = (name) => page.locator("section", { has: page.getByRole("heading", { name, exact: true }) });
    // This machine costs nothing: without it the cloud is the cheapest.
    await server.api("POST", "/sites/local/cordon", {});
    await server.api("POST", "/runs", { workflow: "demo/anywhere", name: "moving" });
    await page.goto(`${server.url}/sites`);
    await card("cloud").getByRole("link", { name: "long of moving" }).waitFor();
    await card("cloud").getByRole("button", { name: "Drain" }).click();
    await page.waitForURL(/drain=cloud/);
    const asked = page.getByRole("dialog");
    await asked.getByText(/the 1 action that it holds is stopped and begun again elsewhere/).waitFor();
    await asked.getByRole("button", { name: "Leave it" }).click();
    await card("cloud").getByText("● open").waitFor();
    await card("cloud").getByRole("button", { name: "Drain" }).click();
    await asked.getByRole("button", { name: "Drain it" }).click();
    await card("cloud").getByText("drained").waitFor();
    await card("onprem").getByRole("link", { name: "long of moving" }).waitFor();
    await card("cloud").getByText("0 actions").waitFor();
    await card("cloud").getByRole("button", { name: "Take work again" }).click();
    await card("cloud").getByText("● open").waitFor();
  });

  test("a run is cancelled when that was asked for, with why", async () => {
    await page.goto(`${server.url}/runs/moving`);
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await page.waitForURL(/cancel=true/);
    await page.getByRole("dialog").getByRole("button", { name: "Leave it" }).click();
    assert.equal((await server.api("GET", "/runs/moving?actions=1")).phase, "running");
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await page.getByLabel("Why").fill("it was a trial");
    await page.getByRole("button", { name: "Cancel it" }).click();
    await page.getByText("it was a trial").waitFor();
    await page.getByRole("button", { name: "Retry" }).waitFor();
  });
});

describe("the list of the inbox", () => {
  test("says when a question is asked of further people", async () => {
    await server.api("POST", "/runs", { workflow: "demo/ask", name: "asking" });
    await page.goto(`${server.url}/inbox`);
    await page.getByRole("button", { name: /Well\?.*asking.*escalates in 3 h 59 m/s }).waitFor();
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
