// Everything without a mouse: the keys of the map, and less motion when the system asks for it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { browser, house } from "./house.mjs";

let server, program, page;

before(async () => {
  server = await house();
  program = await browser({ reducedMotion: "reduce" });
  page = await program.page();
  for (const title of ["one", "two"]) await server.api("POST", "/runs", { workflow: "demo/release", inputs: { title } });
  await server.until(async () => (await server.api("GET", "/approvals")).length === 2);
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const focused = () => page.evaluate(() => document.activeElement?.textContent);

describe("keys", () => {
  test("go through a list and open a row", async () => {
    await page.goto(`${server.url}/runs`);
    await page.getByRole("link", { name: "release-2" }).waitFor();
    await page.keyboard.press("j");
    assert.equal(await focused(), "release-2");
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    assert.equal(await focused(), "release-1");
    await page.keyboard.press("k");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/runs\/release-2$/);
  });

  test("go through the views of a run, and from run to run", async () => {
    await page.getByRole("slider", { name: "Moment" }).waitFor();
    await page.keyboard.press("3");
    await page.getByRole("button", { name: "count", exact: true }).click();
    await page.getByRole("tab", { name: "logs" }).waitFor();
    await page.getByRole("heading", { name: "count" }).click();
    await page.keyboard.press("l");
    await page.waitForURL(/pane=logs/);
    await page.getByText("counting <b>rows</b>").waitFor();
    await page.keyboard.press("Escape");
    await page.waitForURL(/tab=table$/);
    await page.keyboard.press("[");
    await page.waitForURL(/\/runs\/release-1\?tab=table$/);
    await page.getByRole("heading", { name: "release-1" }).waitFor();
    await page.keyboard.press("]");
    await page.waitForURL(/\/runs\/release-2\?tab=table$/);
  });

  test("lead to the buttons of a decision, and decide nothing by themselves", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("i");
    await page.getByRole("heading", { name: /Release 42 rows of one/ }).waitFor();
    await page.keyboard.press("j");
    await page.getByRole("heading", { name: /Release 42 rows of two/ }).waitFor();
    await page.keyboard.press("f");
    await page.keyboard.type("by hand");
    await page.keyboard.press("Tab");
    await page.getByLabel("Comment").blur();
    await page.keyboard.press("a");
    assert.equal(await focused(), "Approve");
    assert.equal((await server.api("GET", "/approvals")).length, 2);
    await page.keyboard.press("Enter");
    await server.until(async () => (await server.api("GET", "/runs/release-2")).phase === "succeeded");
  });

  test("say what there is, and close again", async () => {
    await page.goto(server.url);
    await page.getByText("● live").waitFor();
    await page.keyboard.press("?");
    await page.getByRole("heading", { name: "Everywhere" }).waitFor();
    // A letter goes nowhere while the list is open.
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await page.keyboard.press("Escape");
    await page.getByRole("heading", { name: "Everywhere" }).waitFor({ state: "detached" });
    assert.equal(new URL(page.url()).pathname, "/");
  });

  test("the list has every key that there is", async () => {
    await page.goto(`${server.url}/?keys=true`);
    const listed = (name, keys) => page.getByRole("heading", { name, exact: true }).locator("..").locator("kbd", { hasText: new RegExp(`^${keys}$`) }).waitFor();
    for (const keys of ["Ctrl K", "/", "\\?", "g h", "g d"]) await listed("Everywhere", keys);
    for (const keys of ["1 … 6", "l", "\\[", "\\]", "Esc"]) await listed("A run", keys);
    for (const keys of ["j", "k", "f", "a", "m", "r", "d"]) await listed("The inbox", keys);
    for (const keys of ["Ctrl S", "Ctrl Z", "Arrows", "e", "w", "Delete"]) await listed("The builder", keys);
    await page.keyboard.press("Escape");
  });

  test("the palette finds by any word, goes with Enter and opens a run by its name", async () => {
    const palette = page.getByRole("dialog", { name: "Search and go" });
    const find = async (words) => {
      await page.keyboard.press("/");
      await palette.getByPlaceholder("Go to a page").fill(words);
    };
    await page.goto(`${server.url}/settings`);
    await page.getByText("● live").waitFor();
    await find("home");
    await palette.getByRole("option", { name: /^Home/ }).waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => url.pathname === "/");
    await find("release dem");
    await palette.getByRole("option", { name: /^demo\/release/ }).waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/workflow\/demo\/release/);
    // One that is not among the latest is opened by its name.
    await find("long-ago");
    await palette.getByRole("option", { name: "The run long-ago" }).waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/runs\/long-ago$/);
    await page.getByText("there is no run").waitFor();
    await find("dark");
    await page.keyboard.press("Enter");
    await page.locator('html[data-theme="dark"]').waitFor();
    await find("theme: system");
    await page.keyboard.press("Enter");
  });

  test("build: walk along the wires, wire, edit and save", async () => {
    await page.goto(`${server.url}/build?workflow=demo%2Frelease`);
    await page.getByTestId("rf__node-count").waitFor();
    await page.getByTestId("rf__node-count").focus();
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("data-id")), "each");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("w");
    await page.getByLabel("The node that runs after it").selectOption("publish");
    await page.getByRole("button", { name: "Wire" }).press("Enter");
    // Count says what it gives: what goes along the wire is asked, here nothing.
    await page.getByLabel("publish only runs after count").press("Space");
    await page.getByRole("button", { name: "Wire" }).press("Enter");
    await page.getByText("not saved").waitFor();
    await page.getByTestId("rf__node-count").focus();
    await page.keyboard.press("e");
    assert.equal(await page.evaluate(() => document.activeElement?.labels?.[0]?.textContent), "Name");
    await page.getByLabel("Note", { exact: true }).fill("Counts the rows.");
    await page.keyboard.press("Control+s");
    await page.getByText(/^version 2$/).waitFor();
    const { body } = await server.api("GET", "/resources/workflow/demo/release");
    assert.match(body.source, /# Counts the rows\.\n {2}count:/);
    assert.match(body.source, /publish:[^]*after: \[?-?\s*"?count/);
  });

  test("nothing moves when the system asks for less motion", async () => {
    await page.goto(`${server.url}/runs/release-1`);
    await page.getByRole("slider", { name: "Moment" }).waitFor();
    const moving = await page.evaluate(() => {
      const mark = document.createElement("span");
      mark.className = "is-live";
      document.body.append(mark);
      const name = getComputedStyle(mark).animationName;
      mark.remove();
      return { name, running: document.getAnimations().length };
    });
    assert.deepEqual(moving, { name: "none", running: 0 });
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
