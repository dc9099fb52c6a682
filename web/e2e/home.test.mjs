// Home: what it counts is counted by the server, and every tile leads to what it counts.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";

const RUNS = 130;
const FAILED = 3;
const QUICK = "workflow: demo/quick\ninputs: {fail: {type: boolean, default: false}}\nnodes:\n  one: {use: core/noop}\n  two: {if: \"${ inputs.fail }\", use: core/fail, with: {message: asked for}}\n";
const BUDGET = "kind: project\nname: demo\nbudget: {day: 20}\n";

let server, program, page;

before(async () => {
  server = await house({ "sites.yaml": SITES, "quick.workflow.yaml": QUICK, "project.yaml": BUDGET });
  const runs = Array.from({ length: RUNS }, (_, at) => ({ workflow: "demo/quick", inputs: { fail: at < FAILED } }));
  await server.api("POST", "/runs:batch?wait=60", { runs });
  program = await browser();
  page = await program.page();
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const tile = (name) => page.locator("a", { has: page.getByText(name, { exact: true }) });

describe("home", () => {
  test("counts more runs than a page of the list holds", async () => {
    await page.goto(server.url);
    await tile("Failed in 24 hours").getByText(`of ${RUNS} runs`).waitFor();
    assert.match(await tile("Failed in 24 hours").innerText(), new RegExp(`\\n${FAILED}\\n`));
    await tile("Open, of 24 hours").getByText(`${RUNS - FAILED} succeeded`).waitFor();
    await tile("Spent today (UTC)").getByText("20.00 of the budgets left").waitFor();
  });

  test("follows what happens", async () => {
    await server.api("POST", "/runs?wait=10", { workflow: "demo/quick", inputs: { fail: true } });
    await tile("Failed in 24 hours").getByText(`of ${RUNS + 1} runs`).waitFor();
  });

  test("says what waits for me, and what for others", async () => {
    const ask = (name, assign) => `workflow: demo/${name}\nnodes: {ask: {human: {title: Well?, assign: ${assign}}}}\n`;
    const text = [ask("mine", "{users: [rita]}"), ask("theirs", "{groups: [officers]}")];
    await server.api("POST", "/apply", { documents: text.map((text, at) => ({ path: `${at}.workflow.yaml`, text })) });
    for (const name of ["mine", "theirs"]) await server.api("POST", "/runs", { workflow: `demo/${name}` });
    await server.until(async () => (await server.api("GET", "/approvals")).length === 2);
    await page.setExtraHTTPHeaders({ "x-tutti-user": "rita" });
    await page.goto(server.url);
    await tile("Waiting for me").getByText(/^oldest .*, 1 for others$/).waitFor();
    assert.match(await tile("Waiting for me").innerText(), /\n1\n/);
    await page.setExtraHTTPHeaders({});
  });

  test("leads from every tile to what it counts", async () => {
    const places = { "Waiting for me": /\/inbox(\?|$)/, "Failed in 24 hours": /\/runs\?phase=failed$/, "Open, of 24 hours": /\/runs\?phase=running$/, "Spent today (UTC)": /\/admin\?tab=projects$/, "Sites open": /\/sites$/ };
    for (const [name, place] of Object.entries(places)) {
      await page.goto(server.url);
      await tile(name).click();
      await page.waitForURL(place);
    }
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
