// What people do besides looking: a step is tested by itself, a question is handed on, artifacts are traced, tokens are made and taken
// back, values are pruned; and what may not be seen or run is not.
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";

const NASTY = `<img src=x onerror="window.hit=1"><script>window.hit=1</script>`;
const FLOW = `workflow: demo/files
inputs:
  who: {type: string, labels: [pii]}
  n: {type: integer, default: 2}
nodes:
  # ${NASTY}
  make:
    run: {script: 'echo "${NASTY.replaceAll('"', '\\"').replaceAll("<", "<")}"; printf "<h1 id=in>report</h1><script>parent.hit=1;top.hit=1</script>" > "$TUTTI_OUT_DIR/report.html"; printf "{\\"report\\":{\\"\\$file\\":\\"report.html\\"},\\"rows\\":\${ string(inputs.n) }}" > "$TUTTI_OUTPUT"'}
    needs: {site: {zone: on-premise}}
    outputs: {report: {type: file, labels: [internal]}, rows: integer}
  read:
    use: core/noop
    with: {report: "\${ nodes.make.report }", twice: "\${ nodes.make.rows * inputs.n }"}
    needs: {site: {zone: on-premise}}
  ask:
    after: [read]
    human:
      title: "Is \${ inputs.who } right?"
      assign: {users: [local], then: [{after: 9h, groups: [leads]}]}
      show: {report: "\${ nodes.make.report }", who: "\${ inputs.who }"}
`;

let server, program, page;

before(async () => {
  server = await house({ "sites.yaml": SITES, "files.workflow.yaml": FLOW });
  await server.api("POST", "/runs", { workflow: "demo/files", inputs: { who: NASTY } });
  await server.until(async () => (await server.api("GET", "/approvals")).length === 1);
  program = await browser();
  page = await program.page();
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const untouched = async () => assert.equal(await page.evaluate(() => window.hit), undefined);

describe("a step tested by itself", () => {
  test("takes what it reads from an earlier run, runs, and leaves the workflow as it is", async () => {
    await page.goto(`${server.url}/build?workflow=demo%2Ffiles`);
    await page.getByText("● it checks").waitFor();
    await page.getByTestId("rf__node-read").click();
    await page.getByRole("button", { name: "Test this step" }).click();
    await page.getByLabel("What make gives").waitFor();
    await page.getByLabel("Take what it reads from the run").selectOption("files-1");
    await page.waitForFunction(() => document.querySelector("dialog textarea")?.value.includes("$artifact"));
    await page.getByLabel("The input n").fill("21");
    await page.getByRole("button", { name: "Test it" }).click();
    const outcome = page.getByRole("region", { name: "What came of it" });
    await outcome.getByText("succeeded").waitFor();
    // Two rows of the earlier run, times the input that was changed.
    await outcome.getByText("42", { exact: true }).waitFor();
    assert.equal((await server.api("GET", "/resources/workflow/demo/files")).version, 1);
    const [latest] = (await server.api("GET", "/runs")).items;
    assert.match(latest.name, /^test-read-/);
    await untouched();
  });
});

describe("the inbox", () => {
  test("lists mine, my groups' and all, and says who saw what", async () => {
    await page.goto(`${server.url}/inbox`);
    await page.getByRole("button", { name: /^Mine 1/ }).click();
    await page.getByRole("heading", { name: `Is ${NASTY} right?` }).waitFor();
    await page.getByText("local saw it").waitFor();
    await page.getByRole("button", { name: /^My groups' 0/ }).click();
    await page.getByText("Nothing waits for a person").waitFor();
    await untouched();
  });

  test("evidence that is a page is shown, and runs nothing", async () => {
    await page.goto(`${server.url}/inbox?run=files-1&action=ask`);
    await page.getByRole("button", { name: "show", exact: true }).click();
    await page.frameLocator("iframe").locator("#in").getByText("report").waitFor();
    await untouched();
  });

  test("a question is handed on with a reason, and only the other decides", async () => {
    await page.getByRole("button", { name: "Delegate" }).click();
    await page.getByLabel("People").fill("tom");
    assert.equal(await page.getByRole("button", { name: "Hand it on" }).isDisabled(), true);
    await page.getByLabel("Why").fill("on leave <b>");
    await page.getByRole("button", { name: "Hand it on" }).click();
    await page.getByText("local handed it to tom").waitFor();
    await page.getByText("on leave <b>").waitFor();
    await page.getByText("Asked of tom.").waitFor();
    await page.getByRole("button", { name: "Approve" }).click();
    await page.getByText("is assigned to tom, not to local").waitFor();
    const as = { "x-tutti-user": "tom" };
    await server.api("POST", "/runs/files-1/decision?path=ask", { decision: "approve" }, as);
    await page.getByText("This question is answered").waitFor();
    await page.goto(`${server.url}/runs/files-1?tab=history`);
    await page.getByRole("listitem").filter({ hasText: "handed" }).first().waitFor();
    await page.getByRole("listitem").filter({ hasText: "saw" }).first().waitFor();
  });
});

describe("artifacts", () => {
  test("are traced: made by what, read by what, where, and why they carry what they carry", async () => {
    await page.goto(`${server.url}/artifacts`);
    await page.getByRole("button", { name: "report.html" }).first().click();
    const lineage = page.getByRole("region", { name: "Lineage" });
    await lineage.getByRole("link", { name: "make of files-1" }).waitFor();
    await lineage.getByRole("link", { name: "read", exact: true }).first().waitFor();
    await page.getByText("onprem").first().waitFor();
    await page.getByText("Why it carries that").waitFor();
    await untouched();
  });
});

describe("names, logs and texts", () => {
  test("are text wherever they are shown", async () => {
    for (const address of ["/runs/files-1?tab=data", "/runs/files-1?tab=table&action=make&pane=logs", "/build?workflow=demo%2Ffiles", "/runs/files-1?tab=table&action=ask"]) {
      await page.goto(server.url + address);
      await page.getByText("onerror=").first().waitFor();
      await untouched();
    }
  });
});

/** A raw request, with headers that a page of somebody else would send. */
const foreign = (headers) =>
  new Promise((done, broken) => {
    const { hostname, port } = new URL(server.url);
    const sent = request({ hostname, port, path: "/api/v1/runs", method: "POST", headers: { "content-type": "application/json", ...headers } }, (answer) => done(answer.statusCode));
    sent.on("error", broken);
    sent.end(JSON.stringify({ workflow: "demo/files", inputs: { who: "x" } }));
  });

describe("pages of others", () => {
  test("cannot call in the name of whoever looks at them", async () => {
    const before = (await server.api("GET", "/runs")).items.length;
    assert.equal(await foreign({ origin: "https://evil.example" }), 403);
    assert.equal(await foreign({ "sec-fetch-site": "cross-site" }), 403);
    assert.equal(await foreign({ host: "evil.example" }), 403);
    assert.equal((await server.api("GET", "/runs")).items.length, before);
  });

  test("cannot put this one into a frame", async () => {
    const other = await program.page();
    await other.setContent(`<iframe src="${server.url}/inbox" name="trap"></iframe>`);
    await other.waitForTimeout(300);
    const text = await other.frame({ name: "trap" })?.evaluate(() => document.body?.innerText ?? "").catch(() => "");
    assert.ok(!String(text).includes("Inbox"), text);
    await other.close();
    // The browser says so on the console; that is the point.
    program.errors.splice(0);
  });
});

describe("administration", () => {
  test("says what is stored, and prunes after it said what would go", async () => {
    await page.goto(`${server.url}/admin?tab=retention`);
    await page.getByRole("row", { name: /Files at onprem/ }).waitFor();
    await page.getByLabel("Of runs that ended before").fill("0s");
    await page.getByRole("button", { name: "What would go?" }).click();
    await page.getByText(/values of [12] runs/).waitFor();
    await page.getByRole("tab", { name: "projects" }).click();
    await page.getByRole("row", { name: /demo/ }).waitFor();
  });

  test("makes tokens, shows each once, and takes them back; an ended one is asked for again on the same page", async () => {
    await page.goto(`${server.url}/admin`);
    const make = async (name, roles) => {
      await page.getByRole("button", { name: "Make a token" }).click();
      await page.getByLabel("Name of the token").fill(name);
      for (const box of await page.getByRole("dialog").getByRole("checkbox").all()) await box.uncheck();
      for (const role of roles) await page.getByRole("checkbox", { name: new RegExp(`^${role} `) }).check();
      await page.getByRole("button", { name: "Make it" }).click();
      const text = await page.getByLabel("The new token").innerText();
      return text;
    };
    const boss = await make("boss", ["admin"]);
    // From now on every call needs one; this tab has it.
    const close = page.getByRole("button", { name: "Close" });
    await close.first().click();
    await page.getByRole("row", { name: /boss/ }).waitFor();
    const auditor = await make("audrey", ["auditor"]);
    await close.first().click();

    // Somebody who may see that there are runs, and none of their values.
    const other = await program.page();
    await other.goto(server.url);
    await other.getByRole("dialog").getByLabel("Token", { exact: true }).fill(auditor);
    await other.getByRole("button", { name: "Go on" }).click();
    await other.getByRole("link", { name: "files-1" }).first().waitFor();
    await other.goto(`${server.url}/runs/files-1?tab=table&action=read`);
    await other.getByText("There are values, and you may not see them").waitFor();
    await other.getByText(/May see them: viewer/).waitFor();
    assert.equal(await other.getByText("report.html").count(), 0);

    await page.getByRole("row", { name: /audrey/ }).getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("button", { name: "Revoke it" }).click();
    await page.getByRole("row", { name: /audrey/ }).waitFor({ state: "detached" });
    await other.reload();
    await other.getByText("Your token is not known any more").waitFor();
    await other.getByRole("dialog").getByLabel("Token", { exact: true }).fill(boss);
    await other.getByRole("button", { name: "Go on" }).click();
    await other.getByText("report.html").first().waitFor();
    assert.match(other.url(), /runs\/files-1\?tab=table&action=read/);
    await other.close();
  });

  test("had no error in any page", () => {
    assert.deepEqual(program.errors, []);
  });
});
