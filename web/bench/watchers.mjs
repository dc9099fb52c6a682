// Fifty browsers on a run that changes five hundred times a second: what they cost the server, and how old what they show is.
import { readFileSync } from "node:fs";

import { worker } from "../e2e/worker.mjs";

const BROWSERS = 50;
/** Pages in the real browser; the others are clients that do over the same doors what a page does. Fifty that draw want more than two cores. */
const PAGES = Number(process.env.TUTTI_FIGURE_PAGES ?? 2);
const RATE = 500;
const ITEMS = 10_000;
/** Nobody looks for so long first, then everybody. */
const ALONE_MS = 4_000;
const WATCHED_MS = 11_000;
/** What web/src/api/events.ts and queries.ts do: views are read again at most this often, and the outlook this often. */
const SETTLE_MS = 250;
const REST_MS_MAX = 5_000;
const OUTLOOK_MS = 3_000;

export const live = {
  "live.workflow.yaml": `kind: connector
name: bench/tick
version: 1
---
workflow: bench/live
inputs: {items: {type: array, items: {type: integer}, maxItems: ${ITEMS}}}
nodes:
  all: {each: {items: "\${ inputs.items }", concurrency: ${ITEMS}, do: {use: bench/tick, with: {item: "\${ item }"}}}}
`,
};

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));
const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];

export async function watchers(server, program, told) {
  await server.api("POST", "/runs", { workflow: "bench/live", name: "live", inputs: { items: Array.from({ length: ITEMS }, (_, at) => at) } });
  const pages = await Promise.all(Array.from({ length: PAGES }, () => program.page()));
  const working = worker(server, "bench/tick@1", RATE);
  while (working.done() === 0) await pause(5);
  const alone = await spent(server, working, () => pause(ALONE_MS));
  // However long browsers take to begin, what they watch is still to come.
  working.allow(working.done());
  for (const page of pages) {
    await page.goto(`${server.url}/runs/live`);
    await page.getByText("● live").waitFor();
    await page.getByText("each row counts neighbours").waitFor();
  }
  const stop = new AbortController();
  const clients = Array.from({ length: BROWSERS - PAGES }, () => client(server.url, stop.signal));
  working.allow(ITEMS);
  await pause(1_000);
  const ages = { pages: [], clients: [] };
  const all = await spent(server, working, () => watch(working, pages, clients, ages));
  if (working.done() >= ITEMS) throw new Error("the run ended while it was watched");
  const broken = clients.flatMap((one) => one.broken());
  stop.abort();
  await Promise.all(clients.map((one) => one.ended));
  for (const page of pages) await page.close();
  await working.stop();
  if (broken.length > 0) throw new Error(`a client went wrong: ${broken[0]}`);
  told("web 50 browsers", {
    server_cores: all.cores,
    floor_cores: alone.cores,
    changes_per_s: all.changes,
    floor_changes_per_s: alone.changes,
    real_pages: PAGES,
    clients: clients.length,
    page_age_p50_ms: quantile(ages.pages, 0.5) ?? 0,
    page_age_p95_ms: quantile(ages.pages, 0.95) ?? 0,
    client_age_p50_ms: quantile(ages.clients, 0.5) ?? 0,
    client_age_p95_ms: quantile(ages.clients, 0.95) ?? 0,
    reads_per_client_per_s: clients.reduce((sum, one) => sum + one.reads(), 0) / Math.max(1, clients.length) / all.seconds,
  });
}

/** What the server's process used of its processors while something went on, and how many actions ended. */
async function spent(server, working, during) {
  const cpu = () => {
    const fields = readFileSync(`/proc/${server.pid()}/stat`, "utf8").split(") ")[1].split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  const [before, done, began] = [cpu(), working.done(), performance.now()];
  await during();
  const seconds = (performance.now() - began) / 1000;
  return { seconds, cores: (cpu() - before) / seconds, changes: (working.done() - done) / seconds };
}

/** Looks again and again how old what is shown is: how long ago the server had told more. */
async function watch(working, pages, clients, ages) {
  const told = [];
  const until = performance.now() + WATCHED_MS;
  const clock = setInterval(() => told.push([performance.now(), working.done()]), 10);
  const age = (shown, at) => {
    const next = told.find(([, done]) => done > shown);
    return next ? Math.max(0, at - next[0]) : 0;
  };
  await pause(500);
  while (performance.now() < until) {
    for (const page of pages) {
      const text = await page.evaluate(() => [...document.querySelectorAll("dd")].find((fact) => / done/.test(fact.textContent))?.textContent ?? "");
      ages.pages.push(age(Number((/^([\d,]+) of/.exec(text)?.[1] ?? "0").replaceAll(",", "")), performance.now()));
    }
    for (const one of clients) ages.clients.push(age(one.shown(), performance.now()));
    await pause(100);
  }
  clearInterval(clock);
}

/** Follows the stream as a page does, and reads what a page on the run reads. */
function client(url, signal) {
  let [shown, reads, rest, reading, again] = [0, 0, SETTLE_MS, false, false];
  const broken = [];
  const door = async (path) => (await fetch(`${url}/api/v1${path}`)).text();
  const read = async () => {
    again = true;
    if (reading) return;
    reading = true;
    while (again && !signal.aborted) {
      await pause(rest);
      again = false;
      const began = performance.now();
      const [run] = await Promise.all([door("/runs/live?actions=400"), door("/runs/live/tiles"), door("/approvals")]);
      // All of it would cost this process more than the server.
      shown = Number(/"actions_done":(\d+)/.exec(run)?.[1] ?? shown);
      reads += 1;
      rest = Math.min(Math.max(SETTLE_MS, performance.now() - began), REST_MS_MAX);
    }
    reading = false;
  };
  const follow = async () => {
    const response = await fetch(`${url}/api/v1/events`, { signal });
    const reader = response.body.getReader();
    for (;;) {
      const { done } = await reader.read();
      if (done) return;
      void read().catch((error) => broken.push(error));
    }
  };
  const outlook = async () => {
    while (!signal.aborted) {
      await door("/runs/live/outlook");
      await pause(OUTLOOK_MS);
    }
  };
  const failed = (error) => (signal.aborted ? undefined : broken.push(error));
  const ended = Promise.all([follow().catch(failed), outlook().catch(failed)]);
  return { ended, shown: () => shown, reads: () => reads, broken: () => broken };
}
