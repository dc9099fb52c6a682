// Where a run stands, what it would come to otherwise, what was spent and how busy sites were; and pages of programs in frames, in a real browser.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";

/** The machine itself has no `tier`, and takes none of this. */
const FLEET = SITES.replaceAll("attributes: {", "attributes: {tier: paid, ");

const PLAN = `kind: connector
name: t/double
version: 1
---
workflow: demo/plan
nodes:
  first: {use: t/double, needs: {cpu: 1, site: {zone: on-premise}}}
  second: {use: t/double, after: [first], needs: {cpu: 1, site: {tier: paid}}}
  third: {use: t/double, after: [second], needs: {cpu: 1, site: {tier: paid}}}
  aside: {use: t/double, needs: {cpu: 1, site: {tier: paid}}}
  ask: {human: {title: "Go on?"}}
`;

const MARS = `workflow: demo/mars
nodes:
  mars: {run: ["true"], needs: {site: {zone: mars}}}
`;

const PARTS = `workflow: demo/parts
inputs:
  n: {type: integer, default: 1}
  m: {type: integer, default: 1}
nodes:
  reads: {use: core/noop, with: {n: "\${ inputs.n }"}}
  other: {use: core/noop, with: {m: "\${ inputs.m }"}}
  behind: {use: core/noop, with: {n: "\${ nodes.reads.n }"}}
outputs: {n: "\${ nodes.behind.n }"}
`;

/** A report that looks like something, and tries whatever a page can try. */
const REPORT = `<!doctype html><style>h1 { color: rgb(1, 2, 3) } @import url("https://beacon.invalid/import.css"); body { background: url(https://beacon.invalid/back.png) }</style>
<h1 style="letter-spacing: 3px">Quarter</h1><p id=text>all well</p>
<script>parent.hit = 1; top.hit = 1; document.getElementById("text").textContent = "ran"; fetch("/api/v1/tokens")</script>
<img src=x onerror="document.getElementById('text').textContent='ran'"><svg onload="document.getElementById('text').textContent='ran'"></svg>
<img src="https://beacon.invalid/pixel.png"><link rel=stylesheet href="https://beacon.invalid/style.css"><base href="https://beacon.invalid/">
<meta http-equiv=refresh content="0;url=https://beacon.invalid/gone"><iframe src="/inbox"></iframe><object data="/inbox"></object>
<form action="https://beacon.invalid/form"><button id=send>send</button></form><a id=away href="https://beacon.invalid/away">away</a><a id=top target=_top href="/settings">top</a>
<img id=dot src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==" width=9 height=9>
<div id=flyte-frame-container><div>one tab</div><div>another tab</div></div>`;

const TABLE = `id,when,score,note\n1,2026-01-01,0.5,<img src=x onerror=parent.hit=1>\n2,2026-01-02,0.75,fine\n`;

let server, program, page;

const upload = async (name, text) => (await fetch(`${server.url}/api/v1/artifacts?name=${name}`, { method: "PUT", body: text })).json();

before(async () => {
  server = await house({
    "sites.yaml": FLEET,
    "mars.workflow.yaml": MARS,
    "plan.workflow.yaml": PLAN,
    "parts.workflow.yaml": PARTS,
    "show.workflow.yaml": `workflow: demo/show
inputs: {page: {}, table: {}}
nodes:
  read: {use: core/noop, with: {page: "\${ inputs.page }", table: "\${ inputs.table }"}}
outputs: {page: "\${ nodes.read.page }", table: "\${ nodes.read.table }"}
`,
  });
  program = await browser();
  page = await program.page();
  await server.api("POST", "/runs", { workflow: "demo/plan", name: "plan" });
  await server.api("POST", "/runs?wait=60", { workflow: "demo/parts", name: "parts" });
  await server.api("POST", "/runs", { workflow: "demo/mars", name: "mars" });
  await server.until(async () => (await server.api("GET", "/runs/plan/outlook")).waits?.length === 2);
  await server.until(async () => (await server.api("GET", "/runs/mars/outlook")).waits?.[0]?.kind === "fit");
});

after(async () => {
  await program?.close();
  await server?.stop();
});

describe("the head of a run", () => {
  test("says what it waits for, when it will be done, and what that hangs on", async () => {
    await page.goto(`${server.url}/runs/plan`);
    const head = page.getByRole("region", { name: "Where the run stands" });
    await head.getByText("2 actions, the first of them first, wait for a worker that serves t/double@1").waitFor();
    await head.getByText("ask waits for a person's decision").waitFor();
    await head.getByText("To the end").waitFor();
    await head.getByText(/once what it waits for has come/).waitFor();
    await head.getByText("Cost in all").waitFor();
    await head.getByText(/^The end hangs on/).click();
    const path = head.getByRole("list", { name: "Critical path" });
    await path.getByText("second").waitFor();
    await head.getByText(/^Slack: aside may be/).waitFor();
    await head.getByRole("button", { name: "look at it" }).first().click();
    await page.waitForURL(/action=/);
    await page.goBack();
    await page.getByRole("button", { name: "Close the action" }).waitFor({ state: "detached" });
    await page.goto(`${server.url}/runs/mars`);
    await head.getByText(/mars waits for a site that has what it needs: .*zone to be mars/).waitFor();
    assert.equal(await head.getByText("To the end").count(), 0);
  });

  test("says first that somebody holds it, and has nothing to wait for when it is over", async () => {
    await page.goto(`${server.url}/runs/plan`);
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText(/^The run waits for somebody to resume the run/).waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByText(/^The run waits for somebody/).waitFor({ state: "detached" });
    await page.goto(`${server.url}/runs/parts`);
    await page.getByRole("region", { name: "Where the run stands" }).getByText("3 of 3 done").waitFor();
    assert.equal(await page.getByRole("list", { name: "What it waits for" }).count(), 0);
  });
});

describe("what if", () => {
  test("another price moves the plan, and the address keeps it", async () => {
    const before = (await server.api("GET", "/audit/status")).entries;
    await page.goto(`${server.url}/runs/plan?tab=whatif`);
    await page.getByText("Nothing is changed yet").waitFor();
    await page.getByLabel("A core hour at cloud").fill("9");
    await page.getByText(/2 nodes would go elsewhere|3 nodes would go elsewhere/).waitFor();
    const moved = page.getByRole("list", { name: "What would go elsewhere" });
    await moved.getByText("second").waitFor();
    await page.waitForURL(/whatif=/);
    await page.reload();
    assert.equal(await page.getByLabel("A core hour at cloud").inputValue(), "9");
    await moved.getByText("second").waitFor();
    await page.getByRole("button", { name: "As it is" }).click();
    await page.getByText("Nothing is changed yet").waitFor();
    await page.getByLabel("cloud is there").uncheck();
    await page.getByText(/nodes would go elsewhere/).waitFor();
    await page.getByRole("button", { name: "As it is" }).click();
    await page.getByText("Other rules").click();
    await page.getByLabel(/With these tags, policies or sanitizers/).fill(`kind: policy
name: no-cloud
cedar: |
  @reason("not in the cloud")
  forbid (principal, action in Action::"place", resource) when { resource.zone == "cloud" };`);
    await page.getByText(/nodes would go elsewhere/).waitFor();
    await page.getByLabel("Deadline").selectOption("within");
    await page.getByLabel("Minutes to the deadline").fill("0");
    await page.getByText("in 100 of 100 futures").waitFor();
    assert.equal((await server.api("GET", "/audit/status")).entries, before);
  });

  test("an action's own sites are compared, with what would have to change", async () => {
    await page.goto(`${server.url}/runs/plan?tab=table&action=first&pane=placement`);
    const recorded = page.getByRole("region", { name: "Every site and its verdict" });
    await recorded.getByText("● chosen").waitFor();
    await recorded.getByText(/needs zone to be on-premise/).first().waitFor();
    const asked = page.getByRole("region", { name: "Every site for first, as asked" });
    await asked.getByText("● chosen").waitFor();
    await page.getByLabel("onprem is there").uncheck();
    await asked.getByText("it is taken away here").waitFor();
    await asked.getByText("before: chosen").waitFor();
    await page.getByText(/would have no place: the run would wait/).waitFor();
  });
});

describe("repeating from a node on with another input", () => {
  test("says what is taken over and what runs and why, and does that", async () => {
    await page.goto(`${server.url}/runs/parts?tab=table&action=other`);
    await page.getByRole("button", { name: "Run again from here" }).click();
    const plan = page.getByRole("region", { name: "What it would do" });
    await plan.getByText("reads, behind").waitFor();
    await page.getByRole("dialog").getByLabel("n", { exact: true }).fill("5");
    await plan.getByText("it reads the input n, which is another").waitFor();
    await plan.getByText("Taken over: nothing").waitFor();
    await page.getByRole("dialog").getByLabel("n", { exact: true }).fill("1");
    await plan.getByText("reads, behind").waitFor();
    await page.getByRole("dialog").getByLabel("m", { exact: true }).fill("7");
    await page.getByRole("dialog").getByRole("button", { name: "Start" }).click();
    await page.waitForURL(/\/runs\/parts-\d/);
    const name = new URL(page.url()).pathname.split("/").at(-1);
    const run = await server.api("GET", `/runs/${name}?wait=30`);
    assert.deepEqual(run.actions.filter((action) => action.reused).map((action) => action.path), ["reads", "behind"]);
    assert.deepEqual(run.outputs, { n: 1 });
    await page.getByRole("tab", { name: "history" }).click();
    await page.getByText(/2 outputs were taken over from run/).waitFor();
  });
});

describe("costs and load", () => {
  test("are drawn, have their numbers as a table, and stand in the address", async () => {
    await page.goto(`${server.url}/costs?by=site&days=7&hours=1`);
    await page.getByText("Sites over time").waitFor();
    const busy = page.getByRole("figure", { name: "Load of onprem" });
    await busy.locator("canvas").waitFor();
    await busy.getByText("The numbers").click();
    await busy.getByRole("columnheader", { name: "wait to begin" }).waitFor();
    assert.equal(await page.getByRole("combobox", { name: "By" }).inputValue(), "site");
    await page.getByRole("combobox", { name: "By" }).selectOption("workflow");
    await page.waitForURL(/by=workflow/);
    await page.goBack();
    await page.waitForURL(/by=site/);
    await page.getByText("Nothing was spent in this time").or(page.getByRole("figure", { name: "Spent by day and site" })).first().waitFor();
  });
});

describe("pages, tables and pictures of a run", () => {
  test("a report looks as it was made, runs nothing and reaches nobody", async () => {
    const inputs = { page: await upload("report.html", REPORT), table: await upload("rows.csv", TABLE) };
    await server.api("POST", "/runs?wait=60", { workflow: "demo/show", name: "show", inputs });
    // What the policy of the frame refuses never gets as far as to a route.
    const asked = [];
    await page.route(/beacon\.invalid/, (route) => {
      asked.push(route.request().url());
      return route.abort();
    });
    await page.goto(`${server.url}/runs/show?tab=data`);
    await page.getByText("Outputs").waitFor();
    await page.getByRole("button", { name: "show", exact: true }).first().click();
    const frame = page.frameLocator("iframe[title='report.html']");
    const title = frame.getByRole("heading", { name: "Quarter" });
    await title.waitFor();
    const looks = await title.evaluate((node) => [getComputedStyle(node).color, getComputedStyle(node).letterSpacing]);
    assert.deepEqual(looks, ["rgb(1, 2, 3)", "3px"]);
    await frame.getByText("another tab").waitFor();
    await page.waitForTimeout(300);
    assert.equal(await frame.locator("#text").textContent(), "all well");
    assert.equal(await page.evaluate(() => window.hit), undefined);
    // The opaque origin of the frame reaches nothing of the app.
    assert.equal(await frame.locator("#text").evaluate(() => window.origin), "null");
    await frame.locator("#send").click({ timeout: 2_000 }).catch(() => {});
    await frame.locator("#top").click({ timeout: 2_000 }).catch(() => {});
    await frame.locator("#away").click({ timeout: 2_000 }).catch(() => {});
    await page.waitForTimeout(300);
    assert.match(page.url(), /\/runs\/show/);
    assert.deepEqual(asked, []);
    // What the frame was refused is said on the console; that is the point.
    program.errors.splice(0);
  });

  test("a table is shown with types, and markup in it is text", async () => {
    await page.goto(`${server.url}/runs/show?tab=data`);
    await page.getByText("rows.csv").first().waitFor();
    await page.getByRole("button", { name: "show", exact: true }).nth(1).click();
    const table = page.getByRole("region", { name: "rows.csv" });
    await table.getByText("<img src=x onerror=parent.hit=1>").waitFor();
    await table.getByRole("columnheader", { name: /score number/ }).waitFor();
    assert.equal(await page.evaluate(() => window.hit), undefined);
  });

  test("had no error in any page", () => {
    assert.deepEqual(program.errors, []);
  });
});
