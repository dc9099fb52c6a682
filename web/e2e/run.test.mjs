// A run of many actions in a real browser: drawn from tiles, paged, looked at in the past, repeated with other inputs.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";

const ITEMS = 2_500;
const WIDE = `workflow: demo/wide
inputs:
  count: {type: integer, default: 3}
  items: {type: array, items: {type: integer}, default: [1, 2, 3]}
nodes:
  first: {use: core/noop, with: {count: "\${ inputs.count }"}}
  all:
    after: [first]
    each: {items: "\${ inputs.items }", do: {use: core/noop, with: {item: "\${ item }"}}}
outputs: {count: "\${ nodes.first.count }"}
`;

const TRIES = `workflow: demo/tries
nodes:
  try:
    run: {script: 'echo "this is attempt $TUTTI_ATTEMPT"; [ "$TUTTI_ATTEMPT" -gt 1 ] || exit 7'}
    retry: {max: 3, backoff: 10ms..10ms}
`;

const MAP = `workflow: demo/map
inputs:
  items: {type: array, items: {type: integer}, default: [1, 2, 3]}
nodes:
  all:
    each: {items: "\${ inputs.items }", do: {use: core/noop, with: {item: "\${ item }"}}}
outputs: {all: "\${ nodes.all }"}
`;

let server, program, page;

before(async () => {
  server = await house({ "sites.yaml": SITES, "wide.workflow.yaml": WIDE, "map.workflow.yaml": MAP, "tries.workflow.yaml": TRIES });
  program = await browser();
  page = await program.page();
  const inputs = { items: Array.from({ length: ITEMS }, (_, index) => index) };
  await server.api("POST", "/runs?wait=60", { workflow: "demo/wide", name: "wide", inputs });
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const nodesOfPage = () => page.evaluate(() => document.querySelectorAll("*").length);

describe("a run of many actions", () => {
  test("is drawn from tiles, and looked into until single actions show", async () => {
    await page.goto(`${server.url}/runs/wide`);
    await page.getByText(`${(ITEMS + 2).toLocaleString("en-US")} actions; each row counts neighbours`).waitFor();
    assert.ok((await nodesOfPage()) < 3_000, `${await nodesOfPage()} nodes`);
    await page.getByRole("button", { name: /^first … all\[/ }).press("Enter");
    await page.getByText(/^Actions 0 to/).waitFor();
    await page.getByRole("button", { name: /^all\[3\], succeeded/ }).press("Enter");
    await page.waitForURL(/action=all/);
    await page.getByRole("button", { name: "Close the action" }).click();
    await page.getByRole("button", { name: "Look from further away" }).click();
    await page.getByText("each row counts neighbours").waitFor();
  });

  test("shows how it was at a moment, and comes back to the end", async () => {
    const slider = page.getByRole("slider", { name: "Moment" });
    await slider.fill("0");
    await page.getByText("as it was at 0 s").waitFor();
    await slider.fill("1000");
    await page.getByText("as it ended").waitFor();
    await page.getByRole("button", { name: /^first … all\[/ }).waitFor();
  });

  test("lists its actions page by page and holds few of them in the page", async () => {
    await page.getByRole("tab", { name: "table" }).click();
    await page.getByText("500 of").waitFor();
    const rows = page.getByLabel("Rows");
    await rows.evaluate((box) => box.scrollTo(0, box.scrollHeight));
    await page.getByText("1,000 of").waitFor();
    assert.ok((await page.getByRole("row").count()) < 60);
    await page.getByLabel("Phase").selectOption("failed");
    await page.getByText("No action is like that").waitFor();
  });

  test("is searched by the server: few of its actions come, however many there are", async () => {
    await page.getByLabel("Phase").selectOption("");
    await page.getByText(/more as you scroll/).waitFor();
    const pages = [];
    const note = (response) => (/\/runs\/[^/]+\/actions\?/.test(response.url()) ? pages.push(response.url()) : undefined);
    page.on("response", note);
    await page.getByLabel("Find an action").fill("no such action");
    await page.getByText("No action is like that").waitFor();
    await page.waitForURL(/find=no/);
    page.off("response", note);
    assert.equal(pages.length, 1, pages.join("\n"));
    assert.match(pages[0], /find=no/);
    await page.getByLabel("Find an action").fill("");
    await page.getByText(/more as you scroll/).waitFor();
  });

  test("is repeated with another input", async () => {
    await page.goto(`${server.url}/runs/wide?action=first`);
    await page.getByRole("button", { name: "Run again", exact: true }).click();
    await page.getByLabel("count").fill("8");
    await page.getByText("it reads the input count, which is another").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Start" }).click();
    await page.waitForURL(/\/runs\/wide-\d/);
    await page.getByText("succeeded").first().waitFor();
    const run = await server.api("GET", `/runs/${new URL(page.url()).pathname.split("/").at(-1)}?actions=1`);
    assert.deepEqual(run.outputs, { count: 8 });
  });

  test("is repeated with other items, and takes over what the same ones gave", async () => {
    await server.api("POST", "/runs?wait=30", { workflow: "demo/map", name: "map" });
    await page.goto(`${server.url}/runs/map`);
    await page.getByRole("button", { name: "Run again", exact: true }).click();
    await page.getByLabel("items").fill("[3, 9, 1]");
    await page.getByRole("region", { name: "What it would do" }).getByText("items that are given the same take over what 3 gave").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Start" }).click();
    await page.waitForURL(/\/runs\/map-\d/);
    await page.getByText("succeeded").first().waitFor();
    await page.getByRole("tab", { name: "table" }).click();
    for (const [path, reused] of [["[0]", true], ["[1]", false], ["[2]", true]]) {
      const row = page.getByRole("row").filter({ has: page.getByRole("button", { name: path, exact: true }) });
      await row.getByText("succeeded").waitFor();
      assert.equal((await row.getByText("reused").count()) === 1, reused, path);
    }
    await page.getByRole("tab", { name: "history" }).click();
    await page.getByText("what 3 items gave may be taken over").waitFor();
  });

  test("of an action every attempt is told, and the log of each", async () => {
    const run = await server.api("POST", "/runs?wait=30", { workflow: "demo/tries", name: "tries" });
    assert.equal(run.phase, "succeeded", JSON.stringify(run.failure));
    await page.goto(`${server.url}/runs/tries?tab=table&action=try&pane=attempts`);
    const first = page.getByRole("table", { name: "Attempts" }).getByRole("row").nth(1);
    await first.getByText(/failed/).first().waitFor();
    await first.getByText(/7/).first().waitFor();
    await first.getByRole("button", { name: "The log of attempt 1" }).click();
    await page.getByText("this is attempt 1").waitFor();
    await page.getByRole("tab", { name: "attempts" }).click();
    await page.getByRole("button", { name: "The log of attempt 2" }).click();
    await page.getByText("this is attempt 2").waitFor();
  });

  test("had no error in any page", () => {
    assert.deepEqual(program.errors, []);
  });
});
