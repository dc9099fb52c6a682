// Every kind of edit in the builder is a patch of the text: it touches the bytes that it concerns and no other, and it can be taken back.
// Expressions are written with what is known of them beside: types, tags, and what the last run gave.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { hands } from "./drawing.mjs";
import { SITES, browser, house } from "./house.mjs";

/** A file as people write them: odd blanks, quotes of both kinds, comments everywhere, a key out of order, no break at the end. */
const ODD = `# A file   with odd habits.
workflow:   demo/odd      # the name
description: "kept   as it is"

inputs:
    limit:   {type: number,   default: 0.5, labels: [internal]}   # four blanks

nodes:
  # Counts.
  # In two lines.
  count:
    run:   {script: 'printf "{\\"rows\\":42,\\"parts\\":[\\"a\\",\\"b\\"]}" > "$TUTTI_OUTPUT"'}
    needs: {site: {zone: on-premise}}
    outputs: {rows: integer,   parts: {type: array, items: {type: string}}}


  check-it:     # a name with a dash
    use: core/noop
    with:
      rows:  "\${ nodes.count.rows }"
      # inside
      note:  'it''s "quoted"'
  publish:
    after: [ check-it ]
    use: 'core/noop'
    with: {x: "\${ nodes[\\"check-it\\"].rows }"}
outputs: {rows: "\${ nodes.count.rows }"}

# The end`;

let server, program, page, hand;
/** The text as it stands in the builder: the last answer of the server has it. */
let latest = ODD;
/** Edits whose answer has not been read yet. */
let asked = 0;
const isEdit = (message) => message.url().endsWith("/api/v1/edit");

before(async () => {
  server = await house({ "sites.yaml": SITES, "odd.workflow.yaml": ODD });
  await server.api("POST", "/runs?wait=30", { workflow: "demo/odd" });
  program = await browser();
  page = await program.page();
  hand = hands(page);
  page.on("request", (request) => (asked += isEdit(request) ? 1 : 0));
  page.on("response", async (response) => {
    if (!isEdit(response)) return;
    if (response.ok()) latest = (await response.json().catch(() => ({ text: latest }))).text;
    asked -= 1;
  });
  await page.goto(`${server.url}/build?workflow=demo%2Fodd`);
  await page.getByText("● it checks").waitFor();
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const text = async () => {
  await hand.settled();
  while (asked > 0) await page.waitForTimeout(10);
  return latest;
};

/** Makes an edit, says which lines of the file are other ones, and takes it back. */
async function patch(make) {
  await make();
  const after = (await text()).split("\n");
  const before = ODD.split("\n");
  let start = 0;
  while (start < before.length && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  await page.getByRole("button", { name: "Undo" }).click();
  assert.equal(await text(), ODD, "undone");
  assert.equal(await page.getByRole("button", { name: "Undo" }).isDisabled(), true, "one edit, one step");
  return { gone: before.slice(start, before.length - end), come: after.slice(start, after.length - end) };
}

describe("an edit in the builder", () => {
  test("of a field writes that value", async () => {
    await hand.choose("check-it");
    assert.deepEqual(await patch(() => hand.fill("rows", "7")), { gone: ['      rows:  "${ nodes.count.rows }"'], come: ["      rows:  7"] });
  });

  test("of a note writes the comment above the node", async () => {
    await hand.choose("count");
    const { gone, come } = await patch(() => hand.fill("Note", "Counts the rows."));
    assert.deepEqual(gone, ["  # Counts.", "  # In two lines."]);
    assert.deepEqual(come, ["  # Counts the rows."]);
  });

  test("of a modifier that was not there adds a line", async () => {
    await hand.choose("publish");
    await hand.form.getByText("Modifiers", { exact: true }).click();
    const { gone, come } = await patch(() => hand.fill("Timeout", "5m"));
    assert.deepEqual(gone, []);
    assert.deepEqual(come, ["    timeout: 5m"]);
  });

  test("that pins a node writes a place at the end, and unpinning takes it away", async () => {
    const { gone, come } = await patch(async () => {
      await hand.still();
      const box = await hand.node("publish").boundingBox();
      await page.mouse.move(box.x + 60, box.y + 12);
      await page.mouse.down();
      await page.mouse.move(box.x + 160, box.y + 112, { steps: 5 });
      await page.mouse.up();
      await hand.form.getByRole("button", { name: "Unpin" }).waitFor();
    });
    assert.deepEqual(gone.filter((line) => line !== "# The end"), []);
    assert.match(come.join("\n"), /layout:\n {4}publish: \[-?\d+, -?\d+\]/);
  });

  test("that renames a node follows it wherever it is named, and writes nothing else", async () => {
    await hand.choose("count");
    await hand.form.getByLabel("Name", { exact: true }).fill("tally");
    await hand.form.getByLabel("Name", { exact: true }).press("Enter");
    const after = await text();
    assert.equal(after, ODD.replace("  count:\n", "  tally:\n").replaceAll("nodes.count", "nodes.tally"));
    await page.getByRole("button", { name: "Undo" }).click();
    assert.equal(await text(), ODD);
  });

  test("that adds a node adds its lines", async () => {
    const { gone, come } = await patch(() => page.getByRole("button", { name: "core/noop@1" }).click());
    assert.deepEqual(gone, []);
    assert.deepEqual(come, ["  noop:", "      use: core/noop@1"]);
  });

  test("that draws a wire of data writes what it reads", async () => {
    const { gone, come } = await patch(() => hand.wire("count", "rows", "publish", "x"));
    assert.deepEqual(gone, ['    with: {x: "${ nodes[\\"check-it\\"].rows }"}']);
    assert.deepEqual(come, ['    with: {x: "${ nodes.count.rows }"}']);
  });

  test("of the workflow's own fields writes those", async () => {
    await page.locator(".react-flow__pane").click({ position: { x: 5, y: 5 } });
    await page.getByLabel("Name of a new output").waitFor();
    const described = await patch(async () => {
      await page.getByLabel("Description").fill("another");
      await page.getByLabel("Description").blur();
    });
    assert.deepEqual(described.gone, ['description: "kept   as it is"']);
    assert.match(described.come[0], /^description: "?another"?$/);
    const added = await patch(async () => {
      await page.getByLabel("Name of a new input").fill("who");
      await page.getByRole("button", { name: "Add input" }).click();
    });
    assert.deepEqual(added.gone, []);
    assert.deepEqual(added.come, ["    who: {type: string}"]);
  });

  test("that removes a node takes its note and its lines, and what named it is told", async () => {
    await hand.choose("check-it");
    const { gone, come } = await patch(async () => {
      await hand.form.getByRole("button", { name: "Remove" }).click();
      await page.getByText(/publish/).first().waitFor();
    });
    assert.ok(gone.join("\n").includes("check-it:     # a name with a dash"), gone.join("\n"));
    assert.ok(!come.join("\n").includes("check-it: "));
  });

  test("saved, leaves every other byte of the file on the server", async () => {
    await hand.choose("check-it");
    await hand.fill("note", "other");
    await page.getByRole("tab", { name: "changes" }).click();
    await page.getByRole("button", { name: "~ nodes.check-it.with.note" }).waitFor();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("version 2", { exact: true }).waitFor();
    const saved = (await server.api("GET", "/resources/workflow/demo/odd")).body.source;
    assert.equal(saved.replace(/note: {2}\S+/, `note:  'it''s "quoted"'`), ODD);
    await page.getByRole("tab", { name: "form" }).click();
  });
});

describe("an expression", () => {
  test("is completed with types and tags, and with what the last run gave", async () => {
    await page.goto(`${server.url}/build?workflow=demo%2Fodd`);
    await page.getByText("● it checks").waitFor();
    await hand.choose("check-it");
    const field = hand.form.getByLabel("rows", { exact: true });
    await field.fill("");
    await field.pressSequentially("${ nodes.cou");
    const list = page.getByRole("listbox", { name: "What could follow" });
    await list.getByRole("option", { name: /^count/ }).waitFor();
    await page.keyboard.press("Enter");
    await page.keyboard.type(".");
    await list.getByRole("option", { name: /^rows.*a whole number.*= 42/s }).waitFor();
    await list.getByRole("option", { name: /^parts.*a list of text.*\["a","b"\]/s }).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.keyboard.type(" > inputs.li");
    await list.getByRole("option", { name: /^limit.*a number.*internal/s }).waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.type(" }");
    assert.equal(await field.inputValue(), "${ nodes.count.rows > inputs.limit }");
    // Before it is written into the file its type and its value are known.
    await hand.form.getByText("= true").waitFor();
    await hand.form.getByText("in odd-1").first().waitFor();
    await field.press("Enter");
    assert.match(await text(), /rows: {2}"\$\{ nodes\.count\.rows > inputs\.limit \}"/);
  });

  test("that is wrong says so under the field, before it is in the file", async () => {
    const field = hand.form.getByLabel("rows", { exact: true });
    await field.fill("${ nodes.nobody.x }");
    await hand.form.getByText("there is no node `nobody`").waitFor();
    await field.press("Escape");
    await field.fill("${ nodes.count.rows + 'x' }");
    await hand.form.getByText(/✕/).first().waitFor();
  });

  test("is told in the list by keys and for screen readers", async () => {
    const field = hand.form.getByLabel("rows", { exact: true });
    await field.fill("");
    await field.pressSequentially("${ inp");
    const chosen = await field.getAttribute("aria-activedescendant");
    assert.ok(await page.locator(`[id="${chosen}"]`).getAttribute("aria-selected"));
    await page.keyboard.press("Escape");
    assert.equal(await page.getByRole("listbox").count(), 0);
    // Escape closed the list and nothing else.
    assert.equal(await field.inputValue(), "${ inp");
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
