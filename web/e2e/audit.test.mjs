// The audit log verified in the browser: what the server says is computed again, and a lie is found.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { RELEASE, SITES, browser, house } from "./house.mjs";

let server, program, page;

before(async () => {
  server = await house({ "sites.yaml": SITES, "release.workflow.yaml": RELEASE });
  program = await browser();
  page = await program.page();
  const run = await server.api("POST", "/runs", { workflow: "demo/release" });
  for (;;) {
    const [question] = await server.api("GET", "/approvals");
    if (question) break;
  }
  await server.api("POST", `/runs/${run.name}/decision?path=sign`, { decision: "approve", form: { comment: "right" } });
  await server.api("GET", `/runs/${run.name}?wait=30`);
  // A checkpoint over all of it is signed within seconds.
  for (;;) {
    const { entries, sealed } = await server.api("GET", "/audit/status");
    if (sealed?.size === entries) break;
    await new Promise((wake) => setTimeout(wake, 100));
  }
});

after(async () => {
  await program?.close();
  await server?.stop();
});

describe("the audit log", () => {
  test("is verified as a whole by the browser", async () => {
    await page.goto(`${server.url}/audit`);
    await page.getByText("● signed by this key").waitFor();
    await page.getByRole("button", { name: "Verify in this browser" }).click();
    await page.getByText("the entries give the root that was signed").waitFor();
  });

  test("proves an entry, and shows who decided", async () => {
    await page.goto(`${server.url}/runs/release-1?tab=history`);
    const decided = page.getByRole("listitem").filter({ hasText: "a person decided" });
    await decided.getByText("by local").waitFor();
    await decided.getByRole("button", { name: /^Prove entry/ }).click();
    await decided.getByText("● proved").waitFor();
    // What each line says stands in its entry, whatever kind it is of.
    const all = page.getByRole("button", { name: /^Prove entry/ });
    await page.evaluate(() => document.querySelectorAll('button[aria-label^="Prove entry"]').forEach((button) => button.click()));
    await all.first().waitFor({ state: "detached" });
    assert.deepEqual(await page.getByRole("status").filter({ hasText: "✕" }).allInnerTexts(), []);
    assert.ok((await page.getByText("● proved").count()) > 20);
  });

  test("finds a line that says other than its entry", async () => {
    await page.route("**/api/v1/facts?*", async (route) => {
      const response = await route.fetch();
      const answer = await response.json();
      for (const fact of answer.items) if (fact.event === "human_decided") fact.data.principal = "eve";
      await route.fulfill({ response, json: answer });
    });
    await page.goto(`${server.url}/runs/release-1?tab=history`);
    const decided = page.getByRole("listitem").filter({ hasText: "a person decided" });
    await decided.getByText("by eve").waitFor();
    await decided.getByRole("button", { name: /^Prove entry/ }).click();
    await decided.getByText("says something else: its principal is local, not eve").waitFor();
    await page.unroute("**/api/v1/facts?*");
  });

  test("finds an entry that was changed on the way", async () => {
    await page.route("**/api/v1/audit/proof?*", async (route) => {
      const response = await route.fetch();
      const answer = await response.json();
      answer.entry.at_us += 1;
      await route.fulfill({ response, json: answer });
    });
    await page.goto(`${server.url}/runs/release-1?tab=history`);
    await page.getByRole("button", { name: "Prove entry 9", exact: true }).click();
    await page.getByText("its proof does not lead to the root that was signed").waitFor();
    await page.unroute("**/api/v1/audit/proof?*");
  });

  test("finds a log that was cut or rewritten", async () => {
    const leaves = (change) =>
      page.route("**/api/v1/audit/leaves?*", async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: change(await response.body()) });
      });
    await leaves((body) => {
      body[40] ^= 1;
      return body;
    });
    await page.goto(`${server.url}/audit`);
    await page.getByRole("button", { name: "Verify in this browser" }).click();
    await page.getByText("the entries do not give the root that was signed").waitFor();
    await page.unroute("**/api/v1/audit/leaves?*");
    let asked = 0;
    await leaves((body) => (asked++ === 0 ? body.subarray(0, 64) : body.subarray(0, 0)));
    await page.getByRole("button", { name: "Verify in this browser" }).click();
    await page.getByText("the log ends after 2 of").waitFor();
  });

  test("had no error in any page", () => {
    assert.deepEqual(program.errors, []);
  });
});
