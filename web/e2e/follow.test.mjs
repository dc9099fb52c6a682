// A run of ten thousand actions in a real browser, from its first to its last: every view keeps up, nothing is missed, and the page stays small.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";
import { worker } from "./worker.mjs";

const ITEMS = 9_997;
/** The map's own action, and what comes before and after it. */
const ACTIONS = ITEMS + 3;
const RATE = 1_500;
/** What a page that reads tiles and one page of actions is sent is far below this; all ten thousand actions would be three megabytes at each look. */
const LOOK_BYTES_MAX = 700_000;
const FLOOD = `kind: connector
name: t/tick
version: 1
---
workflow: demo/flood
inputs: {items: {type: array, items: {type: integer}}}
nodes:
  first: {use: core/noop}
  all:
    after: [first]
    each: {items: "\${ inputs.items }", concurrency: 10000, do: {use: t/tick, with: {item: "\${ item }"}}}
  last: {use: core/noop, after: [all]}
`;

let server, program, page, working, traffic;

before(async () => {
  server = await house({ "sites.yaml": SITES, "flood.workflow.yaml": FLOOD });
  program = await browser();
  page = await program.page();
  traffic = await counting(page);
});

after(async () => {
  await working?.stop();
  await program?.close();
  await server?.stop();
});

/** What the page is sent, by path: answers, their bytes, and the largest. */
async function counting(of) {
  const client = await of.context().newCDPSession(of);
  const [paths, seen] = [new Map(), new Map()];
  await client.send("Network.enable");
  client.on("Network.responseReceived", ({ requestId, response }) => paths.set(requestId, new URL(response.url).pathname));
  client.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    const path = paths.get(requestId);
    if (path === undefined) return;
    const { answers, bytes, most } = seen.get(path) ?? { answers: 0, bytes: 0, most: 0 };
    seen.set(path, { answers: answers + 1, bytes: bytes + encodedDataLength, most: Math.max(most, encodedDataLength) });
  });
  return {
    of: (path) => seen.get(`/api/v1${path}`) ?? { answers: 0, bytes: 0, most: 0 },
    /** Bytes of all that the API answered. */
    api: () => [...seen].filter(([path]) => path.startsWith("/api/")).reduce((sum, [, { bytes }]) => sum + bytes, 0),
    forget: () => seen.clear(),
    /** Bytes that the page holds, after what is not needed is gone. */
    async heap() {
      await client.send("HeapProfiler.collectGarbage");
      return (await client.send("Runtime.getHeapUsage")).usedSize;
    },
  };
}

const nodesOfPage = () => page.evaluate(() => document.querySelectorAll("*").length);
const small = async (what) => {
  const nodes = await nodesOfPage();
  assert.ok(nodes < 3_000, `${nodes} nodes in the page, ${what}`);
};

/** How many actions the head of the page says are done. */
async function shown() {
  const text = await page.getByRole("region", { name: "Where the run stands" }).getByText(/ done/).textContent();
  return Number(/^([\d,]+) of/.exec(text)[1].replaceAll(",", ""));
}

/** Lets so many items end in all, and waits until the page says that they have: the one before the map, and these. */
async function follow(items) {
  working.allow(items);
  await server.until(async () => (await shown()) === items + 1);
}

describe("a run of ten thousand actions while it goes on", () => {
  test("every view keeps up with it", async () => {
    await server.api("POST", "/runs", { workflow: "demo/flood", name: "flood", inputs: { items: Array.from({ length: ITEMS }, (_, index) => index) } });
    await page.goto(`${server.url}/runs/flood`);
    await page.getByText(`${(ITEMS + 2).toLocaleString("en-US")} actions; each row counts neighbours`).waitFor();
    const heap = await traffic.heap();
    working = worker(server, "t/tick@1", RATE);
    await follow(1_000);
    await page.getByRole("tab", { name: "graph" }).click();
    await page.getByRole("button", { name: /^all, each.* running$/ }).waitFor();
    await page.getByRole("img", { name: /^last, use, not reached yet/ }).or(page.getByText("last", { exact: true })).first().waitFor();
    await follow(3_000);
    await small("on the graph");
    await page.getByRole("tab", { name: "table" }).click();
    await page.getByText("500 of").waitFor();
    await follow(5_000);
    // The row of an item that has ended says so, though it was read when it had not.
    await page.getByRole("row", { name: /^all\[3\].*succeeded/ }).waitFor();
    await small("on the table");
    await page.getByRole("tab", { name: "timeline" }).click();
    await follow(7_000);
    await page.getByRole("button", { name: /^all\[\d+\] … all\[\d+\], 50 succeeded/ }).first().waitFor();
    await small("on the timeline");
    // A little of what comes is kept: not each action that was told of.
    assert.ok((await traffic.heap()) < heap + 24e6, `${await traffic.heap()} bytes in the page, ${heap} before`);
  });

  test("the past of a run that goes on is looked at, and now again", async () => {
    const slider = page.getByRole("slider", { name: "Moment" });
    traffic.forget();
    await slider.fill("500");
    await page.getByText(/^as it was at/).waitFor();
    await server.until(() => traffic.of("/runs/flood/tiles").answers > 0);
    assert.ok(traffic.of("/runs/flood/tiles").most < 100_000, `tiles of ${traffic.of("/runs/flood/tiles").most} bytes`);
    // The head counts as the journal says of that moment, and the graph as the head does.
    const group = page.getByRole("group", { name: "How actions stood then" });
    await group.waitFor();
    const done = await shown();
    assert.ok(done < 7_001, `${done} done in the middle of it`);
    const stood = /([\d,]+) succeeded/.exec(await group.textContent());
    assert.equal(Number((stood?.[1] ?? "0").replaceAll(",", "")), done);
    await page.getByRole("tab", { name: "graph" }).click();
    await page.getByRole("button", { name: new RegExp(`^all, each, ${(done - 1).toLocaleString("en-US")} of `) }).waitFor();
    await page.getByRole("tab", { name: "timeline" }).click();
    await slider.fill("1000");
    await page.getByText("as it is now").waitFor();
    await follow(8_000);
  });

  test("it ends on the screen as it ended on the server, with nothing missed", async () => {
    working.allow(ITEMS);
    await server.until(async () => (await server.api("GET", "/runs/flood?actions=1")).phase === "succeeded");
    await page.getByText(`${ACTIONS.toLocaleString("en-US")} of ${ACTIONS.toLocaleString("en-US")} done`).waitFor();
    await page.getByText("as it ended").waitFor();
    const run = await server.api("GET", "/runs/flood?actions=1");
    assert.deepEqual([run.actions_total, run.actions_done, await shown()], [ACTIONS, ACTIONS, ACTIONS]);
    const { tiles, total } = await server.api("GET", "/runs/flood/tiles");
    assert.equal(total, ACTIONS);
    const counts = tiles.reduce((sum, { phases }) => sum + (phases.succeeded ?? 0), 0);
    assert.equal(counts, ACTIONS);
    // What stands on the screen, row by row, is the same: 50 succeeded in each, until all are counted.
    const rows = await page.getByRole("list", { name: "Actions of the run" }).getByRole("listitem").allTextContents();
    const listed = rows.map((row) => Number(/, ([\d,]+) succeeded, /.exec(row)?.[1].replaceAll(",", "") ?? NaN));
    assert.deepEqual([listed.length, listed.reduce((sum, count) => sum + count, 0)], [tiles.length, ACTIONS]);
    await page.getByRole("tab", { name: "graph" }).click();
    await page.getByRole("button", { name: /^last, .*succeeded/ }).waitFor();
    await small("at the end");
  });
});

describe("the same run when it is over", () => {
  test("is scrubbed through tiles: the page is never sent all of its actions", async () => {
    const fresh = await program.page();
    const counted = await counting(fresh);
    await fresh.goto(`${server.url}/runs/flood`);
    await fresh.getByText(`${ACTIONS.toLocaleString("en-US")} actions; each row counts neighbours`).waitFor();
    await server.until(() => counted.of("/runs/flood/tiles").answers > 0);
    assert.ok(counted.api() < LOOK_BYTES_MAX, `${counted.api()} bytes for the first look`);
    counted.forget();
    const slider = fresh.getByRole("slider", { name: "Moment" });
    const moments = ["100", "350", "600", "850"];
    for (const [index, moment] of moments.entries()) {
      await slider.fill(moment);
      await fresh.getByText(/^as it was at/).waitFor();
      await server.until(() => counted.of("/runs/flood/tiles").answers > index);
    }
    const { answers, most } = counted.of("/runs/flood/tiles");
    assert.ok(answers >= moments.length && most > 0 && most < 100_000, `${answers} answers of at most ${most} bytes`);
    assert.equal(counted.of("/runs/flood/actions").answers, 0);
    assert.ok(counted.api() < LOOK_BYTES_MAX, `${counted.api()} bytes for ${moments.length} moments`);
    // The end of it is the present of a run that is over.
    await slider.fill("1000");
    await fresh.getByText("as it ended").waitFor();
    await fresh.close();
  });

  test("had no error in any page", () => {
    assert.deepEqual(program.errors, []);
  });
});
