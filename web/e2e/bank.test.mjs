// The bank's workflow, drawn in the builder from an empty canvas, saved, and run: what comes out means what the file of the example means.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { hands } from "./drawing.mjs";
import { browser, house } from "./house.mjs";

const BANK = join(import.meta.dirname, "../../examples/bank");
const read = (name) => readFileSync(join(BANK, name), "utf8");
const VENV = process.env.TUTTI_BANK_VENV ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "tutti/bank-venv");
const PYTHON = existsSync(join(VENV, ".stamp"));
const TEXT = read("fraud-model.workflow.yaml");
const NAME = "bank/fraud-model";
const beside = (folder) => readdirSync(join(BANK, folder)).filter((name) => /\.(py|json)$/.test(name)).map((name) => join(BANK, folder, name));

let server, program, page, hand, wanted;

before(async () => {
  server = await house({ "sites.yaml": read("sites.yaml") }, { path: PYTHON ? join(VENV, "bin") : undefined });
  const files = Object.fromEntries(beside("steps").map((path) => [`steps/${path.split("/").at(-1)}`, readFileSync(path).toString("base64")]));
  await server.api("POST", "/apply", { documents: [{ path: "rules.yaml", text: read("rules.yaml") }], files });
  for (const user of ["ada", "ben"]) {
    const as = { "x-tutti-user": user, "x-tutti-groups": "data-protection" };
    await server.api("POST", "/policy/approve", { kind: "sanitizer", name: "pseudonymise", reason: "read" }, as);
  }
  // What is to be drawn, as plain data: read out of the example's file, which the test then does not touch.
  wanted = await server.api("POST", "/edit", { text: TEXT });
  program = await browser({ viewport: { width: 2400, height: 1500 }, extraHTTPHeaders: { "x-tutti-user": "nina", "x-tutti-groups": "risk-officers" } });
  page = await program.page();
  hand = hands(page);
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const KINDS = ["use", "run", "human", "each", "decide", "wait"];
const kindOf = (node) => KINDS.find((kind) => kind in node);
const PLAIN = /^\$\{ nodes\.(\w+)\.(\w+) \}$/;

/** What a node is given whole from a field of another can be drawn as a wire. */
const wiresOf = (node) => Object.entries(node.with ?? {}).flatMap(([name, value]) => (PLAIN.test(value) ? [[name, ...PLAIN.exec(value).slice(1)]] : []));

describe("the bank's workflow from an empty canvas", () => {
  test("begins with nothing, and says how to begin", async () => {
    await page.goto(`${server.url}/build`);
    await page.getByText("Nothing is drawn yet").waitFor();
    assert.equal(await page.locator(".react-flow__node").count(), 0);
  });

  test("takes the files that its steps are", async () => {
    await page.getByRole("tab", { name: "files" }).click();
    for (const folder of ["steps", "forms"]) {
      await page.getByLabel("Into the folder").fill(folder);
      await page.getByLabel("Add files").setInputFiles(beside(folder));
      await page.getByText(`${folder}/${beside(folder)[0].split("/").at(-1)}`).waitFor();
    }
    await page.getByRole("tab", { name: "form" }).click();
  });

  test("has a name, inputs with types, and a time limit", async () => {
    const { document } = wanted;
    for (const [label, value] of [["Workflow", document.workflow], ["Description", document.description], ["Time limit", document.timeout]]) {
      await page.getByLabel(label, { exact: true }).fill(String(value).trim());
      await page.getByLabel(label, { exact: true }).blur();
      await hand.settled();
    }
    for (const [name, { type, default: usual, ...more }] of Object.entries(document.inputs)) {
      await page.getByLabel("Name of a new input").fill(name);
      await page.getByRole("button", { name: "Add input" }).click();
      const row = page.getByRole("group", { name: `The input ${name}` });
      await row.getByLabel(`Type of ${name}`).selectOption(type);
      await hand.settled();
      await row.getByLabel("Default").fill(String(usual));
      await row.getByLabel("Default").blur();
      await hand.settled();
      if (Object.keys(more).length > 0) {
        await row.getByLabel("More").fill(JSON.stringify(more));
        await row.getByLabel("More").blur();
        await hand.settled();
      }
    }
    assert.equal(await page.getByRole("heading", { level: 1 }).innerText(), NAME);
  });

  test("has every node, out of the catalogue and filled in by forms", async () => {
    for (const [id, node] of Object.entries(wanted.document.nodes)) {
      const kind = kindOf(node);
      await hand.add(kind === "use" ? `${node.use}@1` : kind, id);
      await hand.describe(node, wanted.notes[id]);
      for (const [name, value] of Object.entries(node.with ?? {})) {
        if (PLAIN.test(value)) continue;
        // What a connector takes has its field already.
        if ((await hand.form.getByLabel(`${name} *`).count()) > 0) await hand.fill(`${name} *`, value);
        else await hand.give(name, value);
      }
    }
    await hand.fit();
    assert.equal(await page.locator(".react-flow__node").count(), Object.keys(wanted.document.nodes).length);
  });

  test("is wired by dragging from node to node", async () => {
    let drawn = 0;
    for (const [id, node] of Object.entries(wanted.document.nodes)) {
      for (const [name, from, field] of wiresOf(node)) {
        await hand.wire(from, field, id, name);
        drawn += 1;
      }
    }
    assert.ok(drawn > 20, `${drawn} wires`);
  });

  test("gives what it gives", async () => {
    await page.locator(".react-flow__pane").click({ position: { x: 5, y: 5 } });
    for (const [name, value] of Object.entries(wanted.document.outputs)) {
      await page.getByLabel("Name of a new output").fill(name);
      await page.getByRole("button", { name: "Add output" }).click();
      await page.getByLabel(name, { exact: true }).fill(value);
      await page.getByLabel(name, { exact: true }).blur();
      await hand.settled();
    }
    await page.getByText("● it checks").waitFor();
  });

  test("says what goes along its wires, and where each step would run", async () => {
    await page.locator('[aria-label="from ingest to quality, carries pii"]').waitFor({ state: "attached" });
    await page.getByRole("tab", { name: "plan" }).click();
    await page.getByRole("button", { name: /^ingest.*onprem/s }).waitFor();
    await page.getByRole("button", { name: /^deploy.*cloud-frankfurt/s }).waitFor();
  });

  test("is saved, and means exactly what the example means", async () => {
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("version 1", { exact: true }).waitFor();
    const drawn = (await server.api("GET", `/resources/workflow/${NAME}`)).body.source;
    const document = (text) => ({ documents: [{ path: "w.workflow.yaml", text }], files: {}, beside: NAME });
    assert.deepEqual(await server.api("POST", "/diff", { before: document(TEXT), after: document(drawn) }), []);
    assert.deepEqual((await server.api("POST", "/edit", { text: drawn, workflow: NAME })).notes, wanted.notes);
  });

  test("can be taken back to the empty canvas, patch by patch, and done again", async () => {
    const saved = (await server.api("GET", `/resources/workflow/${NAME}`)).body.source;
    const undo = page.getByRole("button", { name: "Undo" });
    let steps = 0;
    for (; await undo.isEnabled(); steps += 1) {
      await undo.click();
      await hand.settled();
    }
    assert.ok(steps > 100, `${steps} steps`);
    await page.getByText("Nothing is drawn yet").waitFor();
    for (let again = 0; again < steps; again += 1) {
      await page.getByRole("button", { name: "Redo" }).click();
      await hand.settled();
    }
    await page.getByRole("tab", { name: "changes" }).click();
    await page.getByText("The text is the saved one, byte for byte.").waitFor();
    assert.equal((await server.api("GET", `/resources/workflow/${NAME}`)).body.source, saved);
  });

  test("runs: a person approves it in the inbox, and it ends well", { skip: PYTHON ? false : `the Python packages of the story are not in ${VENV}` }, async () => {
    await page.getByRole("link", { name: "Run it" }).click();
    await page.getByLabel("partitions").fill("2");
    await page.getByRole("button", { name: "Start" }).click();
    await page.waitForURL(/\/runs\/fraud-model-1/);
    await page.getByRole("link", { name: "open the question" }).click({ timeout: 180_000 });
    const signed = (await server.api("GET", "/runs/fraud-model-1/action?path=sign")).output;
    await page.getByLabel("Digest of the model that you approve").fill(signed.model_digest);
    await page.getByLabel("Name of the key that signed it").fill(signed.key);
    await page.getByLabel("Why").fill("the interval is above the bar");
    await page.getByRole("button", { name: "Approve" }).click();
    await page.getByText("This question is answered").waitFor();
    await page.getByRole("link", { name: "the run" }).click();
    const ended = await server.api("GET", "/runs/fraud-model-1?wait=240&actions=1");
    if (ended.phase === "running") await server.until(async () => (await server.api("GET", "/runs/fraud-model-1?actions=1")).phase !== "running");
    const run = await server.api("GET", "/runs/fraud-model-1?actions=1");
    assert.equal(run.phase, "succeeded", JSON.stringify(run.failure));
    assert.ok(run.outputs.auc > 0.75 && run.outputs.scored_rows > 100, JSON.stringify(run.outputs));
    await page.getByText("succeeded").first().waitFor();
  });

  test("shows, beside an expression, what the last run would give for it", { skip: PYTHON ? false : "nothing ran" }, async () => {
    await page.goto(`${server.url}/build?workflow=bank%2Ffraud-model`);
    await page.getByText("● it checks").waitFor();
    await hand.choose("deploy");
    await hand.form.getByText("Modifiers", { exact: true }).click();
    await hand.form.getByText("= true").first().waitFor();
    await hand.form.getByText("in fraud-model-1").first().waitFor();
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
