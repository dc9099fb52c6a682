// The time of a run in a real browser: whatever shows it shows it as it was, live and over, and now again.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";

const STEPS = `workflow: demo/steps
nodes:
  first: {use: core/noop}
  wait: {wait: {for: 1s}, after: [first]}
  items:
    after: [wait]
    each: {items: [1, 2, 3], do: {use: core/noop, with: {item: "\${ item }"}}}
  ask: {human: {title: "Go on?"}, after: [items]}
  last: {use: core/noop, after: [ask]}
outputs: {decision: "\${ nodes.ask.decision }"}
`;

let server, program, page, run;

before(async () => {
  server = await house({ "sites.yaml": SITES, "steps.workflow.yaml": STEPS });
  program = await browser();
  page = await program.page();
  await server.api("POST", "/runs", { workflow: "demo/steps", name: "steps" });
  await server.until(async () => (await server.api("GET", "/approvals")).length === 1);
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const head = () => page.getByRole("region", { name: "Where the run stands" });
const slider = () => page.getByRole("slider", { name: "Moment" });
const tab = (name) => page.getByRole("tab", { name, exact: true }).first().click();

/** Moves the page to the middle of the wait, by its address: then one action is done and one goes on. */
async function toTheWait(more = "") {
  run = await server.api("GET", "/runs/steps");
  const wait = run.actions.find((action) => action.path === "wait");
  const at = Date.parse(wait.started_at) + 400;
  await page.goto(`${server.url}/runs/steps?at=${at}${more}`);
  await page.getByText(/^as it was at/).waitFor();
}

/** What every view says of that moment. */
async function asItWasThen() {
  await head().getByText("1 of 2 done, 0 running").waitFor();
  await head().getByText("waits for 1s to pass").or(head().getByText(/1s to pass/)).first().waitFor();
  await page.getByRole("group", { name: "How actions stood then" }).getByText(/1 running, 1 succeeded|1 succeeded, 1 running/).waitFor();
  await page.getByRole("heading", { level: 1 }).getByText("running").waitFor();
  const rows = page.getByRole("list", { name: "Actions of the run" }).getByRole("listitem");
  assert.deepEqual((await rows.allTextContents()).map((row) => row.split(",").slice(0, 2).join(",")), ["first, succeeded", "wait, waits"]);
  await tab("graph");
  await page.getByRole("button", { name: /^wait, wait, waits$/ }).waitFor();
  for (const later of ["items, each", "ask, human", "last, use"]) await page.getByRole("img", { name: `${later}, not reached yet` }).waitFor();
  await tab("table");
  await page.getByRole("row", { name: /^first succeeded/ }).waitFor();
  assert.equal(await page.getByRole("row").count(), 3);
  await page.getByText("2 actions", { exact: true }).waitFor();
  await tab("data");
  await page.getByText("They come when it has succeeded.").waitFor();
  await tab("timeline");
}

describe("a moment of a run that goes on", () => {
  test("is shown by its head, its timeline, its graph, its table and its data", async () => {
    await toTheWait();
    await asItWasThen();
  });

  test("stays when the run goes on, and is left by one button", async () => {
    const { phase } = await server.api("POST", "/runs/steps/decision?path=ask", { decision: "approve" });
    assert.ok(phase);
    await server.until(async () => (await server.api("GET", "/runs/steps?actions=1")).phase === "succeeded");
    await page.getByRole("button", { name: "Run again", exact: true }).waitFor();
    await head().getByText("1 of 2 done").waitFor();
    await page.getByRole("button", { name: "The end" }).click();
    await head().getByText("8 of 8 done").waitFor();
    await page.waitForURL((url) => !url.searchParams.has("at"));
    await page.getByRole("heading", { level: 1 }).getByText("succeeded").waitFor();
  });
});

describe("a moment of a run that is over", () => {
  test("is shown by every view, from its address", async () => {
    await toTheWait();
    await asItWasThen();
  });

  test("an action that is open is as it was, and one of later says that it was not there", async () => {
    await toTheWait("&tab=table&action=wait");
    const sheet = page.locator("section").filter({ has: page.getByRole("button", { name: "Close the action" }) });
    await sheet.getByText("waits", { exact: true }).waitFor();
    await sheet.getByText("None yet.").waitFor();
    await toTheWait("&tab=table&action=last");
    await page.getByText("At the moment that is looked at it had not been opened.").waitFor();
  });

  test("that lies before the run is an error in place of the page, and not the present", async () => {
    await page.goto(`${server.url}/runs/steps?at=1000`);
    await page.getByText("had not begun at that moment").waitFor();
    assert.equal(await head().count(), 0);
    await page.getByRole("button", { name: "Show it as it is now" }).click();
    await head().getByText("8 of 8 done").waitFor();
  });

  test("the slider goes through all of it: never more done than later, from nothing to all", async () => {
    await page.goto(`${server.url}/runs/steps`);
    await head().getByText("8 of 8 done").waitFor();
    let before = 0;
    for (const place of ["0", "300", "600", "900", "1000"]) {
      const answered = place === "1000" ? Promise.resolve() : page.waitForResponse((response) => /\/runs\/steps\?.*at=/.test(response.url()));
      await slider().fill(place);
      await answered;
      const said = place === "1000" ? { done: 8, all: 8 } : await (await answered).json().then((run) => ({ done: run.actions_done, all: run.actions_total, entry: run.moment.position }));
      // The page says what this very answer said.
      if (said.entry) await page.getByText(`after entry ${said.entry} of the journal`).waitFor();
      await head().getByText(`${said.done} of ${said.all} done`).waitFor();
      const done = Number(/^(\d+) of/.exec(await head().getByText(/ of \d+ done/).textContent())[1]);
      assert.ok(done >= before, `${done} done at ${place}, ${before} before`);
      before = done;
    }
    assert.equal(before, 8);
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
