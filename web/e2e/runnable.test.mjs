// What can be run, in one list: workflows with owner and certificate, tasks and apps of Flyte programs; a deployed task as a node of the builder.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { hands } from "./drawing.mjs";
import { RELEASE, SITES, browser, house } from "./house.mjs";

const VENV = process.env.TUTTI_FLYTE_VENV ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "tutti/flyte-venv");
const SDK = existsSync(join(VENV, "bin/flyte"));

const RULES = `kind: tag
name: pii
owners: [officers]
---
kind: policy
name: eyes
cedar: |
  @id("production-only")
  @reason("names are for production")
  forbid (principal, action in Action::"place", resource)
  when { context.data in Tag::"pii" && context.domain != "production" };
`;

const NAMES = `workflow: demo/names
inputs: {who: {type: string, labels: [pii]}}
nodes:
  look: {use: core/noop, with: {who: "\${ inputs.who }"}}
`;

/** A program of the SDK with a task that is deployed. */
const PROGRAM = `import flyte

env = flyte.TaskEnvironment(name="greets")


@env.task
async def greet(name: str, times: int) -> str:
    return " ".join([f"hello {name}"] * times)
`;

let server, program, page, hand, folder;

/** Deploys the program as the SDK's own command does. */
async function deploy() {
  folder = mkdtempSync(join(tmpdir(), "tutti-greets-"));
  writeFileSync(join(folder, "greets.py"), PROGRAM);
  writeFileSync(join(folder, "config.yaml"), `admin:\n  endpoint: dns:///${new URL(server.url).host}\n  insecure: true\ntask:\n  project: demo\n  domain: development\n`);
  const command = spawn(join(VENV, "bin/flyte"), ["-c", "config.yaml", "deploy", "--version", "v1", "greets.py", "env"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, FLYTE_DISABLE_SENTRY: "true", DO_NOT_TRACK: "1", PATH: `${join(VENV, "bin")}:${process.env.PATH}` },
  });
  const said = [];
  for (const stream of [command.stdout, command.stderr]) stream.on("data", (text) => said.push(String(text)));
  const code = await new Promise((done) => command.on("exit", done));
  assert.equal(code, 0, said.join(""));
}

before(async () => {
  process.env.TUTTI_FLYTE_VENV = VENV;
  server = await house({ "sites.yaml": SITES, "release.workflow.yaml": RELEASE, "rules.yaml": RULES, "names.workflow.yaml": NAMES });
  for (const user of ["ada", "ben"]) {
    const text = `workflow: demo/shared\nnodes:\n  one: {use: core/noop, with: {by: ${user}}}\n`;
    await server.api("POST", "/apply", { documents: [{ path: "shared.workflow.yaml", text }] }, { "x-tutti-user": user });
  }
  if (SDK) await deploy();
  program = await browser();
  page = await program.page();
  hand = hands(page);
});

after(async () => {
  await program?.close();
  await server?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

const row = (name) => page.getByRole("row", { name: new RegExp(`^${name}`) });

describe("the list of workflows", () => {
  test("says who began each, who changed it last, and in which domains the rules have a place for every step", async () => {
    await page.goto(`${server.url}/workflows`);
    await row("demo/shared").getByRole("cell", { name: "ada", exact: true }).waitFor();
    await row("demo/shared").getByText("by ben").waitFor();
    await row("demo/shared").getByText("● certified for development, staging, production").waitFor();
    await row("demo/names").getByText("◌ certified for production", { exact: true }).waitFor();
    await row("demo/names").getByText("✕ not in development, staging").click();
    await row("demo/names").getByText("names are for production").waitFor();
  });

  test("shows the last runs of each, and a new one as it happens", async () => {
    await row("demo/shared").getByText("never run").waitFor();
    await server.api("POST", "/runs?wait=30", { workflow: "demo/shared" });
    await row("demo/shared").getByRole("img", { name: /shared-1 succeeded/ }).waitFor();
  });

  test("is looked through by name, owner and domain, and the address keeps that", async () => {
    await page.getByLabel("Find by name, owner or domain").fill("names");
    await page.getByText(/^1 of /).waitFor();
    await page.waitForURL(/find=names/);
    await page.reload();
    await page.getByText(/^1 of /).waitFor();
    await page.getByLabel("Find by name, owner or domain").fill("nobody at all");
    await page.getByText("Nothing is called that").waitFor();
  });
});

describe("an address that the Flyte SDK prints", () => {
  const printed = (rest) => page.goto(`${server.url}/v2/domain/development/project/demo/${rest}`);

  test("leads to the run, to its action, to the task, or to the list", async () => {
    await printed("runs/shared-1");
    await page.getByRole("heading", { name: /^shared-1/ }).waitFor();
    await printed("runs/shared-1?i=one");
    await page.waitForURL(/\/runs\/shared-1\?action=one/);
    await page.getByRole("heading", { name: "one", exact: true }).waitFor();
    await printed("tasks/greets.nobody");
    await page.getByText("No such task is deployed").waitFor();
    await printed("apps/desk");
    await page.getByText("Nothing is called that").waitFor();
  });
});

describe("a deployed Flyte task", { skip: SDK ? false : `the Flyte SDK is not in ${VENV}` }, () => {
  test("stands in the list with its environment, and has a page with its types", async () => {
    await page.goto(`${server.url}/workflows?kind=environment`);
    await page.getByText("Flyte environment of demo, 1 task").waitFor();
    await page.getByRole("link", { name: "greets", exact: true }).click();
    await row("greets.greet").getByText("environment greets").waitFor();
    await row("greets.greet").getByRole("link", { name: "greets.greet" }).click();
    await page.getByRole("row", { name: "times integer needed" }).waitFor();
    await page.getByRole("row", { name: /^o0 string/ }).waitFor();
    assert.match(await page.getByLabel("The node").innerText(), /task: greets\.greet/);
  });

  test("is added out of the catalogue with what it needs, and checks", async () => {
    await page.goto(`${server.url}/build`);
    await hand.add("greets.greet", "greet");
    await page.getByText("● it checks").waitFor();
    await hand.fill("name *", "Ada");
    await hand.fill("times *", "2");
    await hand.form.getByText(/It gives o0, string/).waitFor();
    await page.getByText("● it checks").waitFor();
    // Its interface is what the checker holds it to.
    await hand.fill("times *", "many");
    await page.getByText(/✕ 1 error/).waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("● it checks").waitFor();
  });

  test("gives what it gives along a wire, and runs as a step", async () => {
    await hand.add("core/noop@1", "keep");
    await hand.wire("greet", "o0", "keep", "said");
    await hand.settled();
    await page.getByRole("tab", { name: "text" }).click();
    await page.locator(".cm-content", { hasText: "nodes.greet.o0" }).waitFor();
    await page.getByRole("tab", { name: "form" }).click();
    await page.locator(".react-flow__pane").click({ position: { x: 5, y: 5 } });
    await page.getByLabel("Workflow", { exact: true }).fill("demo/greeting");
    await page.getByLabel("Workflow", { exact: true }).blur();
    await hand.settled();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("version 1", { exact: true }).waitFor();
    const run = await server.api("POST", "/runs?wait=120", { workflow: "demo/greeting" });
    assert.equal(run.phase, "succeeded", JSON.stringify(run.failure));
    const action = await server.api("GET", `/runs/${run.name}/action?path=keep`);
    assert.equal(action.output.said, "hello Ada hello Ada");
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
