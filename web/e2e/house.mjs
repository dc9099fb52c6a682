// A server of its own for the tests, a browser, and files to begin with. Everything is stopped at the end.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chromium } from "playwright-core";

const BROWSER = process.env.TUTTI_CHROMIUM ?? "/usr/bin/chromium";
const TUTTI = process.env.TUTTI_BIN ?? "tutti";
/** While one works on the app: its pages come from this folder, so that a change needs no build of the server. */
const DIST = process.env.TUTTI_WEB_DIST;
/** How many times slower the browser is made: what holds only on an idle machine shows. */
const SLOWER = Number(process.env.TUTTI_SLOWER ?? 1);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const SITES = `kind: site
name: onprem
capacity: {cpu: 4, memory: 8Gi}
attributes: {zone: on-premise}
prices: {cpu_hour: 0.06, memory_gib_hour: 0.006}
---
kind: site
name: cloud
simulates: a public cloud region
capacity: {cpu: 8, memory: 16Gi}
attributes: {zone: cloud}
prices: {cpu_hour: 0.04, memory_gib_hour: 0.004, egress_gb: 0.09}
`;

export const RELEASE = `# Counts, asks, publishes.
workflow: demo/release
inputs:
  title: {type: string, default: first}
nodes:
  count:
    run: {script: 'echo "counting <b>rows</b>"; printf "{\\"rows\\":42}" > "$TUTTI_OUTPUT"'}
    needs: {site: {zone: on-premise}}
    outputs: {rows: {type: integer}}
  each:
    after: [count]
    each: {items: [a, b, c], do: {use: core/noop, with: {item: "\${ item }"}}}
  sign:
    after: [each]
    human:
      title: "Release \${ string(nodes.count.rows) } rows of \${ inputs.title }?"
      show: {rows: "\${ nodes.count.rows }", title: "\${ inputs.title }"}
      form: {type: object, required: [comment], properties: {comment: {type: string, title: Comment}}}
  publish:
    if: \${ nodes.sign.decision == "approve" }
    run: {script: 'echo publishing'}
outputs: {decision: "\${ nodes.sign.decision }"}
`;

/** Starts a server on a port of its own, with files applied; `path` goes before where its steps look for programs. */
export async function house(files = { "sites.yaml": SITES, "release.workflow.yaml": RELEASE }, { path } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "tutti-web-"));
  const data = join(folder, "data");
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const start = (listen) => {
    const child = spawn(TUTTI, ["up", "--data", data, "--listen", listen], { stdio: ["ignore", "pipe", "ignore"], env: { ...process.env, PATH: [path, process.env.PATH].filter(Boolean).join(":") } });
    return new Promise((ready, broken) => {
      child.stdout.on("data", (text) => {
        const url = /tutti is up at (\S+)/.exec(String(text))?.[1];
        if (url) ready({ child, url });
      });
      child.on("exit", (code) => broken(new Error(`tutti up ended with ${code}`)));
    });
  };
  let { child, url } = await start("127.0.0.1:0");
  const api = async (method, path, body, headers = {}) => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(JSON.stringify(answer));
    return answer;
  };
  const documents = Object.entries(files).map(([path, text]) => ({ path, text }));
  await api("POST", "/apply", { documents });
  const ended = (process) => new Promise((done) => process.on("exit", done));
  return {
    url,
    api,
    /** The process of the server. */
    pid: () => child.pid,
    /** Waits until something holds on the server. */
    async until(holds) {
      for (let tries = 0; tries < 400; tries += 1) {
        if (await holds()) return;
        await new Promise((wake) => setTimeout(wake, 50));
      }
      throw new Error(`it never came to be: ${holds}`);
    },
    /** Kills the server and starts another on the same port and data. */
    async restart() {
      await this.kill();
      await this.revive();
    },
    async kill() {
      child.removeAllListeners("exit");
      const gone = ended(child);
      child.kill("SIGKILL");
      await gone;
    },
    /** Starts another on the same port and data. */
    async revive() {
      ({ child } = await start(new URL(url).host));
    },
    async stop() {
      child.removeAllListeners("exit");
      const gone = new Promise((done) => child.on("exit", done));
      child.kill("SIGTERM");
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function fromDist(route) {
  const { pathname } = new URL(route.request().url());
  const file = join(DIST, pathname);
  const found = pathname !== "/" && existsSync(file) ? file : join(DIST, "index.html");
  const types = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
  const response = await route.fetch().catch(() => null);
  const headers = { ...(response?.headers() ?? {}), "content-type": types[found.split(".").at(-1)] ?? "application/octet-stream" };
  delete headers["content-encoding"];
  delete headers["content-length"];
  await route.fulfill({ status: 200, headers, body: readFileSync(found) });
}

/** A browser whose pages fail the test on any error of theirs. People share nothing; what tabs of a browser share, the pages of one person do. */
export async function browser(options = {}) {
  const program = await chromium.launch({ executablePath: BROWSER, args: FLAGS });
  const errors = [];
  const person = () => program.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  return {
    errors,
    person,
    /** A page of a person: of somebody new, when nobody is named. */
    async page(of) {
      const context = of ?? (await person());
      const page = await context.newPage();
      if (!of) page.on("close", () => void context.close().catch(() => {}));
      page.setDefaultTimeout(20_000 * SLOWER);
      if (SLOWER > 1) await (await context.newCDPSession(page)).send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
      if (DIST) await page.route((url) => !/^\/(api|healthz|metrics|hooks)/.test(url.pathname), fromDist);
      page.on("pageerror", (error) => errors.push(error.message));
      page.on("console", (message) => {
        // A server that is away while it restarts is part of a test.
        if (message.type() === "error" && !/ERR_CONNECTION_REFUSED|Failed to load resource|ERR_INCOMPLETE/.test(message.text())) errors.push(message.text());
      });
      return page;
    },
    close: () => program.close(),
  };
}
