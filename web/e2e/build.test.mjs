// The builder in a real browser: what is drawn is written, and bytes that no edit concerns stay.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { hands } from "./drawing.mjs";
import { RELEASE, browser, house } from "./house.mjs";

let server, program, page, hand;

before(async () => {
  server = await house();
  program = await browser();
  page = await program.page();
  hand = hands(page);
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const textOf = async () => (await server.api("GET", "/resources/workflow/demo/release")).body.source;

describe("the builder", () => {
  test("opens a registered workflow as picture, form and text", async () => {
    await page.goto(`${server.url}/build?workflow=demo%2Frelease`);
    await page.getByText("● it checks").waitFor();
    await page.locator(".react-flow__node", { hasText: "publish" }).waitFor();
    assert.equal(await textOf(), RELEASE);
  });

  test("adds a node, renames it, wires it, and writes no other byte", async () => {
    await page.getByRole("button", { name: "core/noop@1" }).click();
    const name = page.getByLabel("Name", { exact: true });
    await name.waitFor();
    await name.fill("archive");
    await name.press("Enter");
    await page.locator(".react-flow__node", { hasText: "archive" }).waitFor();
    await hand.fit();
    await (await hand.pull("publish", "archive")).drop();
    await page.getByText("not saved").waitFor();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("version 2").waitFor();
    const text = await textOf();
    assert.match(text, /archive:\n\s+use: core\/noop@1\n\s+after: \[?-?\s*"?publish/);
    // Without the lines of the new node it is the file as it was.
    const kept = RELEASE.split("\n").every((line) => text.includes(line));
    assert.ok(kept, text);
    assert.ok(text.startsWith(RELEASE.slice(0, RELEASE.indexOf("outputs: {decision"))), text);
  });

  test("says where the nodes would run, and what saving would change in meaning", async () => {
    await page.getByRole("tab", { name: "plan" }).click();
    await page.getByRole("button", { name: /^count.*onprem/s }).waitFor();
    await page.getByRole("tab", { name: "changes" }).click();
    await page.getByText("The text is the saved one, byte for byte.").waitFor();
    await page.getByRole("button", { name: "core/noop@1" }).click();
    await page.getByLabel("Name", { exact: true }).waitFor();
    await page.getByRole("tab", { name: "changes" }).click();
    await page.getByRole("button", { name: "+ nodes.noop" }).waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("byte for byte").waitFor();
    await page.getByRole("tab", { name: "text" }).click();
  });

  test("undoes every step to the text it began with", async () => {
    for (let step = 0; step < 20 && (await page.getByRole("button", { name: "Undo" }).isEnabled()); step += 1) {
      await page.getByRole("button", { name: "Undo" }).click();
      await hand.settled();
    }
    await page.getByRole("tab", { name: "text" }).click();
    const shown = await page.locator(".cm-content").innerText();
    assert.ok(!shown.includes("archive"));
  });

  test("shows what is wrong where it is, and does not save it", async () => {
    await page.goto(`${server.url}/build?workflow=demo%2Frelease`);
    await page.getByTestId("rf__node-count").click();
    await page.getByText("Modifiers").click();
    await page.getByLabel("Only if").fill("${ nodes.nobody.x }");
    await page.getByLabel("Only if").press("Enter");
    await page.getByText(/✕ 1 error/).waitFor();
    await page.getByText("nobody").first().waitFor();
    assert.equal(await page.getByRole("button", { name: "Save" }).isDisabled(), true);
  });

  test("tells when somebody saved another version, and loses nothing", async () => {
    await page.goto(`${server.url}/build?workflow=demo%2Frelease`);
    // What the test before left wrong and unsaved is there again.
    await page.getByRole("button", { name: "Drop the draft" }).click();
    await page.getByText("● it checks").waitFor();
    await page.getByTestId("rf__node-count").click();
    await page.getByLabel("Note", { exact: true }).fill("Mine");
    await page.getByLabel("Note", { exact: true }).blur();
    await page.getByText("not saved").waitFor();
    const theirs = (await textOf()).replace("# Counts, asks, publishes.", "# Theirs.");
    await server.api("POST", "/apply", { documents: [{ path: "release.workflow.yaml", text: theirs }] });
    await page.getByText("Somebody saved another version meanwhile").waitFor();
    await page.getByRole("button", { name: "Keep mine" }).click();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText(/^version \d+$/).waitFor();
    assert.match(await textOf(), /# Mine/);
  });

  test("draws a wire to where the nodes are, also when frames come late and the picture moves just then", async () => {
    const slow = await program.page();
    await slow.addInitScript(() => {
      const soon = window.requestAnimationFrame.bind(window);
      window.requestAnimationFrame = (draw) => soon(() => setTimeout(() => draw(performance.now()), 150));
    });
    const slowly = hands(slow);
    await slow.goto(`${server.url}/build`);
    // Each wire puts its nodes elsewhere, and the whole picture is fitted anew.
    for (const id of ["one", "two", "three"]) await slowly.add("run", id);
    for (const [from, to] of [["one", "two"], ["two", "three"]]) {
      await slowly.fit();
      await (await slowly.pull(from, to)).drop();
      await slow.locator(`[aria-label="from ${from} to ${to}"]`).waitFor({ state: "attached" });
    }
    await slow.close();
  });

  test("had no error in any page", () => {
    assert.deepEqual(program.errors, []);
  });
});
