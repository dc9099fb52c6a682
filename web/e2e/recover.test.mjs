// The server is killed while every live page is open, and comes back on the same port and data: no page is loaded anew, each keeps what it
// shows meanwhile, and each shows what has happened since.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { RELEASE, SITES, browser, house } from "./house.mjs";

const FILES = `workflow: fresh/files
nodes:
  make:
    run: {script: 'echo 1,2 > "$TUTTI_OUT_DIR/rows.csv"; printf "{\\"rows\\": {\\"\\$file\\": \\"rows.csv\\"}}" > "$TUTTI_OUTPUT"'}
    outputs: {rows: artifact}
`;
/** Writes line after line for as long as it is let. */
const LINES = `workflow: demo/lines
nodes:
  write: {run: {script: 'i=0; while true; do i=$((i+1)); echo "line $i."; sleep 0.05; done'}}
`;
const RULES = `kind: tag
name: pii
---
kind: policy
name: personal-data
cedar: |
  @id("stays-home")
  @reason("personal data stays on-premise")
  forbid (principal, action in Action::"place", resource)
  when { context.data in Tag::"pii" }
  unless { resource.zone == "on-premise" };
`;
const EDGE = `kind: site
name: edge
capacity: {cpu: 1, memory: 1Gi}
`;

/** Each page that follows what happens (Costs looks again every half minute): where it is, what is there before, and what has to be there without a reload when the server was away and things have happened. */
const PAGES = {
  home: ["/", (page) => page.getByRole("link", { name: "release-1" }), (page) => page.getByRole("link", { name: "second" })],
  workflows: ["/workflows", (page) => page.getByRole("link", { name: "demo/release" }), (page) => page.getByRole("link", { name: "fresh/files" })],
  "a workflow": ["/workflow/demo/release", (page) => page.getByRole("link", { name: "release-1" }), (page) => page.getByRole("link", { name: "second" })],
  runs: ["/runs", (page) => page.getByRole("link", { name: "release-1" }), (page) => page.getByRole("link", { name: "fresh" })],
  "a run's timeline": ["/runs/release-1", (page) => page.getByRole("button", { name: /^sign, / }), (page) => page.getByRole("button", { name: /^publish, succeeded/ })],
  "a run's graph": ["/runs/release-1?tab=graph", (page) => page.getByRole("button", { name: /^count, .*succeeded/ }), (page) => page.getByRole("button", { name: /^publish, .*succeeded/ })],
  "a run's table": ["/runs/release-1?tab=table", (page) => page.getByRole("row", { name: /^count.*succeeded/ }), (page) => page.getByRole("row", { name: /^publish.*succeeded/ })],
  "a run's data": ["/runs/release-1?tab=data", (page) => page.getByText("They come when it has succeeded."), (page) => page.getByText("approve", { exact: true })],
  "a run's history": ["/runs/release-1?tab=history", (page) => page.getByText("the run was submitted"), (page) => page.getByText("a person decided")],
  "what if of a run": ["/runs/release-1?tab=whatif", (page) => page.getByLabel("cloud is there"), (page) => page.getByLabel("edge is there")],
  "the inbox": ["/inbox?of=all", (page) => page.getByRole("heading", { name: "Release 42 rows of first?" }), (page) => page.getByRole("button", { name: /Release 42 rows of second\?/ })],
  sites: ["/sites", (page) => page.getByRole("heading", { name: "onprem" }), (page) => page.getByRole("heading", { name: "edge" })],
  artifacts: ["/artifacts", (page) => page.getByText("No artifact yet"), (page) => page.getByRole("link", { name: "fresh" })],
  governance: ["/governance", (page) => page.getByText("No rule is registered"), (page) => page.getByText("stays-home").first()],
  audit: ["/audit", (page) => page.getByText("· workflow demo/release"), (page) => page.getByText("· workflow fresh/files")],
  "administration: projects": ["/admin?tab=projects", (page) => page.getByRole("row", { name: /^demo/ }), (page) => page.getByRole("row", { name: /^fresh/ })],
  "administration: retention": ["/admin?tab=retention", (page) => page.getByRole("row", { name: /Files at onprem/ }), (page) => page.getByRole("row", { name: /Files at edge/ })],
  "administration: the server": ["/admin?tab=server", (page) => page.getByText("2, 2 of them running"), (page) => page.getByText("4, 2 of them running")],
};

let server, program;
const open = new Map();

before(async () => {
  server = await house({ "sites.yaml": SITES, "release.workflow.yaml": RELEASE, "lines.workflow.yaml": LINES });
  program = await browser();
  await server.api("POST", "/runs", { workflow: "demo/release" });
  await server.api("POST", "/runs", { workflow: "demo/lines", name: "lines" });
  await server.until(async () => (await server.api("GET", "/approvals")).length === 1);
});

after(async () => {
  await program?.close();
  await server?.stop();
});

/** A page that is never loaded again: what is noted in it is still there at the end. */
async function opened(address, shown) {
  const page = await program.page();
  await page.goto(server.url + address);
  await shown(page).first().waitFor();
  await page.getByText("● live").waitFor();
  await page.evaluate(() => (globalThis.loadedOnce = true));
  return page;
}

/** The lines of the log that the page shows, by their numbers. */
const lines = async (page) => [...(await page.locator("pre").last().textContent()).matchAll(/line (\d+)\./g)].map(([, number]) => Number(number));

describe("the server is killed and comes back", () => {
  let log, inbox;

  test("while every page is open, a log is followed and a form is half filled in", async () => {
    for (const [name, [address, shown]] of Object.entries(PAGES)) open.set(name, await opened(address, shown));
    inbox = open.get("the inbox");
    await inbox.getByLabel("Comment").fill("half a sent");
    log = await opened("/runs/lines?action=write&pane=logs", (page) => page.getByText("line 5."));
    await server.kill();
    for (const [name, page] of [...open, ["a log", log]]) {
      await page.getByText("the server does not answer").waitFor();
      const [, shown] = PAGES[name] ?? [, (page) => page.getByText("line 5.")];
      assert.ok(await shown(page).first().isVisible(), `${name} is still there`);
    }
  });

  test("and what happened since is on each of them", async () => {
    await server.revive();
    const documents = [["files.workflow.yaml", FILES], ["rules.yaml", RULES], ["edge.yaml", EDGE]].map(([path, text]) => ({ path, text }));
    await server.api("POST", "/apply", { documents });
    await server.api("POST", "/runs?wait=60", { workflow: "fresh/files", name: "fresh" });
    await server.api("POST", "/runs", { workflow: "demo/release", name: "second", inputs: { title: "second" } });
    await server.until(async () => (await server.api("GET", "/approvals")).length === 2);
    await inbox.getByRole("button", { name: /Release 42 rows of second\?/ }).waitFor();
    // What was typed is what is sent.
    assert.equal(await inbox.getByLabel("Comment").inputValue(), "half a sent");
    await inbox.getByRole("button", { name: "Approve" }).click();
    for (const [name, page] of open) {
      const [, , changed] = PAGES[name];
      await changed(page).first().waitFor().catch((error) => assert.fail(`${name} does not show what happened: ${error.message}`));
      await page.getByText("● live").waitFor();
    }
    for (const page of [...open.values(), log]) assert.equal(await page.evaluate(() => globalThis.loadedOnce), true);
  });

  test("and of the log no line is missing, and none is there twice", async () => {
    const last = (await lines(log)).at(-1);
    await log.getByText(`line ${last + 20}.`).waitFor();
    const read = await lines(log);
    assert.deepEqual(read, Array.from({ length: read.length }, (_, at) => at + 1));
    await server.api("POST", "/runs/lines/cancel", { reason: "that was enough" });
    await log.getByText("complete", { exact: true }).waitFor();
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
