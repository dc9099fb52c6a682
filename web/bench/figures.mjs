// The figures of the web app, in a headless Chromium against a server of its own: `TUTTI_BIN=… node bench/figures.mjs [FILE]`. JSON on
// standard output, and in FILE when one is named; TUTTI_FIGURES=load,big,typing,watchers takes some of them. Use a release build: a debug build is several times slower.
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";

import { SITES, browser, house } from "../e2e/house.mjs";

const ITEMS = Number(process.env.TUTTI_FIGURE_ITEMS ?? 10_000);
const MAPS = 10;
const NODES = 300;
const BROWSERS = 50;
const RATE = 500;
const SECONDS = 12;
/** How often the app reads a view again, however much changes: see api/events.ts. */
const SETTLE_MS = 250;

const maps = Array.from({ length: MAPS }, (_, at) => `  m${at}:\n    each: {items: "\${ inputs.items }", concurrency: 10000, do: {use: core/noop, with: {i: "\${ item }"}}}\n`).join("");
const BIG = `workflow: bench/big\ninputs: {items: {type: array, items: {type: integer}, maxItems: 10000}}\nnodes:\n${maps}`;
const WIDE = `workflow: bench/wide\nnodes:\n  n0: {run: {script: "echo 0"}}\n${Array.from({ length: NODES - 1 }, (_, at) => `  n${at + 1}: {run: {script: "echo ${at + 1}"}, with: {before: "\${ nodes.n${at}.out }"}}\n`).join("")}`;
const LIVE = "workflow: bench/live\nnodes:\n  hold: {wait: {signal: never}}\n";

const figures = { machine: `${cpus()[0]?.model ?? "?"}, ${cpus().length} cores`, chromium: "", at: new Date().toISOString() };
const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];
const round = (value) => Math.round(value * 10) / 10;

const server = await house({ "sites.yaml": SITES, "big.workflow.yaml": BIG, "wide.workflow.yaml": WIDE, "live.workflow.yaml": LIVE });
const program = await browser();
const parts = { load: firstLoad, big: bigRun, typing, watchers: manyBrowsers };
const only = process.env.TUTTI_FIGURES?.split(",") ?? Object.keys(parts);
try {
  for (const name of only) await parts[name]();
} finally {
  await program.close();
  await server.stop();
}
const text = JSON.stringify(figures, null, 2);
console.log(text);
if (process.argv[2]) writeFileSync(process.argv[2], `${text}\n`);

/** Bytes over the wire until the first page is there, before the builder is opened. */
async function firstLoad() {
  const page = await program.page();
  await page.goto(server.url);
  await page.getByText("● live").waitFor();
  const loaded = await page.evaluate(() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].filter((one) => !one.name.includes("/api/")).map((one) => [new URL(one.name).pathname, one.encodedBodySize]));
  // Out of a folder nothing is compressed on the way: the compressed files beside them say what it would be.
  const dist = process.env.TUTTI_WEB_DIST;
  const size = ([path, bytes]) => {
    const file = dist && join(dist, path === "/" ? "index.html" : path);
    return !file ? bytes : statSync(existsSync(`${file}.br`) ? `${file}.br` : file).size;
  };
  figures.first_load_kb = round(loaded.reduce((sum, one) => sum + size(one), 0) / 1000);
  figures.chromium = await page.evaluate(() => navigator.userAgent.replace(/.*(HeadlessChrome\/\S+).*/, "$1"));
  await page.close();
}

/** A run of a hundred thousand actions: nodes of the document, frames while panning, the first picture. */
async function bigRun() {
  const items = Array.from({ length: ITEMS }, (_, at) => at);
  await server.api("POST", "/runs?wait=280", { workflow: "bench/big", inputs: { items }, name: "big" });
  const run = await server.api("GET", "/runs/big?actions=1");
  figures.big_run_actions = run.actions_total;
  const page = await program.page();
  await page.goto(`${server.url}/runs/big`, { waitUntil: "commit" });
  await page.waitForFunction(() => {
    const canvas = document.querySelector("main canvas");
    const context = canvas?.getContext("2d");
    if (!context || canvas.width === 0) return false;
    return context.getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value !== 0);
  }, undefined, { polling: "raf" });
  figures.big_run_first_picture_ms = round(await page.evaluate(() => performance.now()));
  const box = await page.locator("main canvas").first().boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const frames = page.evaluate(
    () =>
      new Promise((done) => {
        const found = [];
        let last = performance.now();
        const until = last + 4_000;
        const step = (now) => {
          found.push(now - last);
          last = now;
          if (now < until) requestAnimationFrame(step);
          else done(found.slice(1));
        };
        requestAnimationFrame(step);
      }),
  );
  for (let step = 0; step < 60; step += 1) await page.mouse.wheel(step % 2 ? 40 : 0, step < 40 ? 240 : -240);
  const deltas = await frames;
  figures.big_run_frame_p50_ms = round(quantile(deltas, 0.5));
  figures.big_run_frame_p95_ms = round(quantile(deltas, 0.95));
  figures.big_run_dom_nodes = await page.evaluate(() => document.querySelectorAll("*").length);
  await page.close();
}

/** From a key to what is wrong with the text, in a workflow of three hundred nodes. */
async function typing() {
  const page = await program.page();
  await page.goto(`${server.url}/build?workflow=bench%2Fwide`);
  await page.getByText("● it checks").waitFor();
  await page.getByRole("tab", { name: "text" }).click();
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+Home");
  await page.evaluate(() => {
    globalThis.latencies = [];
    let pressed = 0;
    window.addEventListener("keydown", () => (pressed = performance.now()), true);
    const status = [...document.querySelectorAll("[role=status]")].find((element) => /checks|error/.test(element.textContent));
    new MutationObserver(() => globalThis.latencies.push(performance.now() - pressed)).observe(status, { childList: true, characterData: true, subtree: true });
  });
  for (let round = 0; round < 15; round += 1) {
    await page.keyboard.press("x");
    await page.getByText(/✕ \d+ error/).first().waitFor();
    await page.keyboard.press("Backspace");
    await page.getByText("● it checks").waitFor();
  }
  const latencies = await page.evaluate(() => globalThis.latencies);
  figures.workflow_nodes = NODES;
  figures.key_to_diagnostics_p50_ms = round(quantile(latencies, 0.5));
  figures.key_to_diagnostics_p95_ms = round(quantile(latencies, 0.95));
  await page.close();
}

/** What the server's process has used of its processors, in seconds. */
function cpuSeconds() {
  const fields = readFileSync(`/proc/${server.pid()}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Fifty watchers of a run that changes five hundred times a second: two real browsers, and forty-eight clients that do over the same doors
 * what the app does, follow the stream and read their views again at most every 250 ms. */
async function manyBrowsers() {
  await server.api("POST", "/runs", { workflow: "bench/live", name: "live" });
  const pages = await Promise.all([program.page(), program.page()]);
  for (const page of pages) {
    await page.goto(`${server.url}/runs/live`);
    await page.getByText("● live").waitFor();
  }
  const stop = new AbortController();
  let heard = 0;
  const clients = Array.from({ length: BROWSERS - pages.length }, () => client(stop.signal, (count) => (heard += count)));
  await new Promise((wake) => setTimeout(wake, 500));
  const [before, began] = [cpuSeconds(), performance.now()];
  let sent = 0;
  const posts = new Set();
  while (performance.now() - began < SECONDS * 1000) {
    const due = ((performance.now() - began) / 1000) * RATE;
    while (sent < due) {
      sent += 1;
      const post = server.api("POST", "/runs/live/signal", { name: "tick", payload: sent }).catch(() => {}).finally(() => posts.delete(post));
      posts.add(post);
    }
    await new Promise((wake) => setTimeout(wake, 5));
  }
  await Promise.all(posts);
  const seconds = (performance.now() - began) / 1000;
  figures.watchers = BROWSERS;
  figures.watchers_real_browsers = pages.length;
  figures.changes_per_second = Math.round(sent / seconds);
  figures.events_heard_per_watcher_per_second = Math.round(heard / (BROWSERS - pages.length) / seconds);
  figures.server_cores = Math.round(((cpuSeconds() - before) / seconds) * 100) / 100;
  stop.abort();
  await Promise.allSettled(clients);
  for (const page of pages) await page.close();
}

async function client(signal, heard) {
  const response = await fetch(`${server.url}/api/v1/events`, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let reading = false;
  const read = async () => {
    if (reading) return;
    reading = true;
    await new Promise((wake) => setTimeout(wake, SETTLE_MS));
    await Promise.all(["/runs/live", "/runs/live/tiles"].map((path) => fetch(`${server.url}/api/v1${path}`, { signal }).then((answer) => answer.text())));
    reading = false;
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard(value.split("\nevent:").length - 1);
    void read().catch(() => {});
  }
}
