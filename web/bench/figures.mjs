// The figures of the web app, in a headless Chromium against a server of its own, each beside a floor from the same minutes. One line of JSON
// a figure: `TUTTI_BIN=… node bench/figures.mjs [PART…]`, parts: load, big, keys, watchers; TUTTI_SEED says what is typed and where it is
// panned. `make bench` runs it. Use a release build: a debug build is several times slower.
import { createServer } from "node:http";

import { SITES, browser, house } from "../e2e/house.mjs";
import { live, watchers } from "./watchers.mjs";

const ITEMS = Number(process.env.TUTTI_FIGURE_ITEMS ?? 10_000);
const MAPS = 10;
const NODES = 300;
/** Letters that are typed and taken back. */
const LETTERS = 30;
const PAN_MS = 4_000;

const maps = Array.from({ length: MAPS }, (_, at) => `  m${at}:\n    each: {items: "\${ inputs.items }", concurrency: 10000, do: {use: core/noop, with: {i: "\${ item }"}}}\n`).join("");
const BIG = `workflow: bench/big\ninputs: {items: {type: array, items: {type: integer}, maxItems: 10000}}\nnodes:\n${maps}`;
const WIDE = `workflow: bench/wide\nnodes:\n  n0: {run: {script: "echo 0"}}\n${Array.from({ length: NODES - 1 }, (_, at) => `  n${at + 1}: {run: {script: "echo ${at + 1}"}, with: {before: "\${ nodes.n${at}.out }"}}\n`).join("")}`;

const random = seeded(Number(process.env.TUTTI_SEED ?? 1));
const server = await house({ "sites.yaml": SITES, "big.workflow.yaml": BIG, "wide.workflow.yaml": WIDE, ...live });
const program = await browser();
const parts = { load: firstLoad, big: bigRun, keys: typing, watchers: () => watchers(server, program, told) };
try {
  const page = await program.page();
  console.log(JSON.stringify({ browser: await page.evaluate(() => navigator.userAgent.replace(/.*(HeadlessChrome\/\S+).*/, "$1")) }));
  await page.close();
  const wanted = process.argv.slice(2);
  for (const name of wanted.length > 0 ? wanted : Object.keys(parts)) await parts[name]();
  // A page that broke was quick.
  if (program.errors.length > 0) throw new Error(`errors in the pages: ${program.errors.join("; ")}`);
} finally {
  await program.close();
  await server.stop();
}

function told(name, figures) {
  const rounded = Object.entries(figures).map(([figure, value]) => [figure, Math.round(value * 100) / 100]);
  console.log(JSON.stringify({ name, figures: Object.fromEntries(rounded) }));
}

function quantile(values, share) {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Something that holds whatever Chromium must do for a page with nothing on it. */
async function emptyPage(look) {
  const empty = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>empty</title><p>empty"));
  await new Promise((ready) => empty.listen(0, "127.0.0.1", ready));
  const page = await program.page();
  try {
    await page.goto(`http://127.0.0.1:${empty.address().port}/`);
    return await look(page);
  } finally {
    await page.close();
    empty.closeAllConnections();
    empty.close();
  }
}

/** When a page first showed something. */
async function painted(page) {
  return (await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime)).jsonValue();
}

/** Bytes over the wire until the first page is there, before the builder is opened; and when it first shows something. */
async function firstLoad() {
  const floor = await emptyPage(painted);
  const page = await program.page();
  await page.goto(server.url);
  await page.getByText("● live").waitFor();
  const loaded = await page.evaluate(() =>
    [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].filter((one) => !new URL(one.name).pathname.startsWith("/api/")).map((one) => [one.encodedBodySize, one.decodedBodySize]),
  );
  const sum = (index) => loaded.reduce((total, sizes) => total + sizes[index], 0) / 1000;
  told("web first load", { compressed_kb: sum(0), plain_kb: sum(1), files: loaded.length, first_paint_ms: await painted(page), floor_first_paint_ms: floor });
  await page.close();
}

/** The time between frames while the wheel turns over the middle of something. */
async function panning(page, box) {
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const frames = page.evaluate(
    (span) =>
      new Promise((done) => {
        const found = [];
        let last = performance.now();
        const until = last + span;
        const step = (now) => {
          found.push(now - last);
          last = now;
          if (now < until) requestAnimationFrame(step);
          else done(found.slice(1));
        };
        requestAnimationFrame(step);
      }),
    PAN_MS,
  );
  const began = performance.now();
  while (performance.now() - began < PAN_MS) {
    // Down and up through the rows, and every now and then along the time, which is zoomed in.
    const along = random() < 0.25;
    if (along) await page.keyboard.down("Shift");
    await page.mouse.wheel(0, (random() - 0.4) * 600);
    if (along) await page.keyboard.up("Shift");
  }
  return frames;
}

/** A run of a hundred thousand actions: nodes of the document, frames while panning, the first picture. */
async function bigRun() {
  const items = Array.from({ length: ITEMS }, (_, at) => at);
  await server.api("POST", "/runs?wait=280", { workflow: "bench/big", inputs: { items }, name: "big" });
  const { actions_total: actions } = await server.api("GET", "/runs/big?actions=1");
  const floor = await emptyPage((page) => panning(page, { x: 0, y: 0, width: 1_000, height: 600 }));
  const [pictures, drawn] = [[], []];
  let nodes = 0;
  // The first look is the one that nothing was read for before.
  for (let look = 0; look < 3; look += 1) {
    const page = await program.page();
    await page.goto(`${server.url}/runs/big`, { waitUntil: "commit" });
    await page.waitForFunction(() => {
      const canvas = document.querySelector("main canvas");
      const context = canvas?.getContext("2d");
      if (!context || canvas.width === 0) return false;
      return context.getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value !== 0);
    }, undefined, { polling: "raf" });
    pictures.push(await page.evaluate(() => performance.now()));
    if (look === 2) {
      for (let times = 0; times < 3; times += 1) await page.getByRole("button", { name: "Zoom in" }).click();
      drawn.push(...(await panning(page, await page.locator("main canvas").first().boundingBox())));
      nodes = await page.evaluate(() => document.querySelectorAll("*").length);
    }
    await page.close();
  }
  told("web run of 100000 actions", {
    actions,
    first_picture_ms: pictures[0],
    next_picture_ms: Math.max(...pictures.slice(1)),
    frame_p50_ms: quantile(drawn, 0.5),
    frame_p95_ms: quantile(drawn, 0.95),
    floor_frame_p95_ms: quantile(floor, 0.95),
    dom_nodes: nodes,
  });
}

/** From a key to what is wrong with the text, in a workflow of three hundred nodes; beside the same check asked for by itself. */
async function typing() {
  const page = await program.page();
  await page.goto(`${server.url}/build?workflow=bench%2Fwide&pane=text`);
  await page.getByText("● it checks").waitFor();
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+Home");
  await page.evaluate(() => {
    const [said, shown] = [[], []];
    globalThis.found = { said, shown };
    let pressed = 0;
    window.addEventListener("keydown", (event) => (pressed = event.timeStamp), true);
    const status = [...document.querySelectorAll("[role=status]")].find((element) => /checks|error/.test(element.textContent));
    const seen = new MutationObserver(() => {
      const began = pressed;
      said.push(performance.now() - began);
      // A message that is posted in a frame comes when the frame is drawn.
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => shown.push(performance.now() - began);
        port2.postMessage(0);
      });
    });
    seen.observe(status, { childList: true, characterData: true, subtree: true });
  });
  // Looking for words in a page of hundreds of nodes at every frame would be a good part of what is measured: the page counts by itself.
  const counted = (keys) => page.waitForFunction((wanted) => globalThis.found.shown.length >= wanted, keys);
  for (let times = 0; times < LETTERS; times += 1) {
    await page.keyboard.press(String.fromCharCode(97 + Math.floor(random() * 26)));
    await counted(times * 2 + 1);
    await page.keyboard.press("Backspace");
    await counted(times * 2 + 2);
  }
  await page.getByText("● it checks").waitFor();
  const { said, shown } = await page.evaluate(() => globalThis.found);
  await page.close();
  const asked = [];
  for (let times = 0; times < LETTERS * 2; times += 1) {
    const began = performance.now();
    await server.api("POST", "/edit", { text: times % 2 ? WIDE : `x${WIDE}`, edits: [], workflow: "bench/wide", graph: false });
    asked.push(performance.now() - began);
  }
  told("web keys in 300 nodes", {
    keys: shown.length,
    p50_ms: quantile(shown, 0.5),
    p95_ms: quantile(shown, 0.95),
    said_p50_ms: quantile(said, 0.5),
    said_p95_ms: quantile(said, 0.95),
    floor_check_p50_ms: quantile(asked, 0.5),
    floor_check_p95_ms: quantile(asked, 0.95),
  });
}
