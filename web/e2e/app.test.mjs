// The app in a real browser against a real server: what a person does, from the first look to a decision.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { browser, house } from "./house.mjs";

let server, program, page;

before(async () => {
  server = await house();
  program = await browser();
  page = await program.page();
});

after(async () => {
  await program?.close();
  await server?.stop();
});

describe("the app", () => {
  test("shows what to do when nothing has run", async () => {
    await page.goto(server.url);
    await page.getByText("Nothing has run yet").waitFor();
    await page.getByText("● live").waitFor();
  });

  test("starts a workflow from its page, follows it, and decides in the inbox", async () => {
    await page.getByRole("link", { name: "Workflows" }).click();
    await page.getByRole("link", { name: "demo/release" }).click();
    await page.getByRole("img", { name: "sign, human" }).waitFor();
    await page.getByLabel("title").fill("<img src=x onerror=alert(1)>");
    await page.getByRole("button", { name: "Start" }).click();
    await page.waitForURL(/\/runs\/release-1/);
    // No reload: the question shows up by the event stream.
    await page.getByRole("link", { name: "open the question" }).click();
    await page.getByRole("heading", { name: "Release 42 rows of <img src=x onerror=alert(1)>?" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Approve" }).isDisabled(), true);
    await page.getByLabel("Comment").fill("looks right");
    await page.getByRole("button", { name: "Approve" }).click();
    await page.getByText("This question is answered").waitFor();
    await page.getByRole("link", { name: "the run" }).click();
    await page.getByText("succeeded").first().waitFor();
    const run = await server.api("GET", "/runs/release-1");
    assert.equal(run.phase, "succeeded");
    assert.deepEqual(run.outputs, { decision: "approve" });
  });

  test("shows an action with its values, its log as text and why it is where it is", async () => {
    await page.goto(`${server.url}/runs/release-1?tab=table&action=count`);
    await page.getByText("42", { exact: true }).waitFor();
    await page.getByRole("tab", { name: "logs" }).click();
    await page.getByText("counting <b>rows</b>").waitFor();
    await page.getByRole("tab", { name: "placement" }).click();
    await page.getByText("● chosen").waitFor();
    await page.getByText("✕ unfit").first().waitFor();
  });

  test("cordons a site and takes it back", async () => {
    await page.goto(`${server.url}/sites`);
    await page.getByText("Processes of this machine stand for a public cloud region.").waitFor();
    const card = page.locator("section", { hasText: "onprem" });
    await card.getByRole("button", { name: "Cordon" }).click();
    await card.getByText("cordoned").waitFor();
    await card.getByRole("button", { name: "Take work again" }).click();
    await card.getByText("open").waitFor();
  });

  test("goes anywhere from the keyboard", async () => {
    await page.goto(server.url);
    await page.getByText("● live").waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await page.waitForURL(/\/sites/);
    await page.keyboard.press("Control+k");
    await page.getByPlaceholder("Go to a page").fill("release-1");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/runs\/release-1/);
  });

  test("goes on by itself when the server was killed and is back", async () => {
    await page.goto(`${server.url}/runs`);
    await page.getByText("● live").waitFor();
    await server.restart();
    await server.api("POST", "/runs", { workflow: "demo/release", inputs: { title: "second" } });
    await page.getByRole("link", { name: "release-2" }).waitFor();
    await page.getByText("● live").waitFor();
  });

  test("had no error in any page", () => {
    assert.deepEqual(program.errors, []);
  });
});
