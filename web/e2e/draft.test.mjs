// What is not saved in the builder outlives leaving it: another page, reading anew, a token that ended, somebody else's version.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { hands } from "./drawing.mjs";
import { RELEASE, browser, house } from "./house.mjs";

let server, program, page, hand;
const there = () => `${server.url}/build?workflow=demo%2Frelease`;
const banner = () => page.getByText(/This is your draft of/);

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

const retitle = async (title) => {
  await hand.choose("sign");
  await hand.fill("Question", title);
  await page.getByText("not saved", { exact: true }).waitFor();
};
const questioned = async (title) => {
  await hand.choose("sign");
  assert.equal(await hand.form.getByLabel("Question", { exact: true }).inputValue(), title);
};

describe("a draft", () => {
  test("is there again after another page was looked at, and leaves the file alone", async () => {
    await page.goto(there());
    await page.getByText("● it checks").waitFor();
    assert.equal(await banner().count(), 0);
    await retitle("Shall it go out?");
    await page.getByRole("link", { name: "Workflows" }).click();
    await page.getByRole("link", { name: "demo/release" }).waitFor();
    await page.goBack();
    await banner().waitFor();
    await questioned("Shall it go out?");
    assert.equal((await server.api("GET", "/resources/workflow/demo/release")).body.source, RELEASE);
  });

  test("holds what was in a field when the page was left", async () => {
    await page.getByRole("button", { name: "Keep the draft" }).click();
    await hand.form.getByLabel("Question", { exact: true }).fill("Or not?");
    await page.getByRole("link", { name: "Sites", exact: true }).click();
    await page.getByRole("button", { name: "Cordon" }).first().waitFor();
    await page.waitForFunction(() => sessionStorage.getItem("tutti.draft.demo/release")?.includes("Or not?"));
    await page.goBack();
    await questioned("Or not?");
  });

  test("makes the browser ask before the tab goes, and is there again after reading anew", async () => {
    let asked = 0;
    const accept = (dialog) => {
      asked += dialog.type() === "beforeunload" ? 1 : 0;
      return dialog.accept();
    };
    page.on("dialog", accept);
    await page.reload();
    await banner().waitFor();
    page.off("dialog", accept);
    assert.equal(asked, 1);
    await questioned("Or not?");
  });

  test("gives way to what is saved in one step, which can be undone", async () => {
    await page.getByRole("button", { name: "Drop the draft" }).click();
    await hand.settled();
    await page.getByText("version 1", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await hand.settled();
    await page.getByText("not saved", { exact: true }).waitFor();
    await questioned("Or not?");
  });

  test("that somebody else's version overtook is shown beside it, and nothing of either is lost", async () => {
    await page.getByRole("link", { name: "Workflows" }).click();
    await server.api("POST", "/apply", { documents: [{ path: "release.workflow.yaml", text: RELEASE.replace("echo publishing", "echo published") }] });
    await page.goBack();
    await banner().waitFor();
    await page.getByText(/Somebody saved another version meanwhile/).waitFor();
    await page.getByRole("button", { name: "Show both" }).click();
    await page.locator("pre", { hasText: "echo published" }).waitFor();
    await page.locator("pre", { hasText: "Or not?" }).waitFor();
    await page.getByRole("button", { name: "Keep mine" }).click();
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByText("version 3", { exact: true }).waitFor();
    const { body } = await server.api("GET", "/resources/workflow/demo/release");
    assert.match(body.source, /Or not\?/);
  });

  test("that is saved is no draft any more", async () => {
    await page.reload();
    await page.getByText("version 3", { exact: true }).waitFor();
    assert.equal(await banner().count(), 0);
    assert.equal(await page.evaluate(() => Object.keys(sessionStorage).filter((key) => key.startsWith("tutti.draft")).length), 0);
  });

  test("of a workflow that has no name yet is kept as well, and can be begun anew", async () => {
    await page.goto(`${server.url}/build`);
    await page.getByRole("button", { name: "core/noop@1" }).click();
    await hand.settled();
    await hand.node("noop").waitFor();
    await page.getByRole("link", { name: "Workflows" }).click();
    await page.getByRole("link", { name: "demo/release" }).waitFor();
    await page.goto(`${server.url}/build`);
    await banner().waitFor();
    await hand.node("noop").waitFor();
    await page.getByRole("button", { name: "Begin anew" }).click();
    await page.getByText("Nothing is drawn yet").waitFor();
  });

  test("and the edit under way outlive a token that ended", async () => {
    await page.goto(there());
    await page.getByText("● it checks").waitFor();
    await hand.choose("sign");
    const field = hand.form.getByLabel("Question", { exact: true });
    await field.fill("With a token?");
    // From now on every call wants a token, and this tab has none. Leaving the field is what makes the edit.
    const first = await server.api("POST", "/tokens", { name: "first", roles: ["admin"] });
    const as = { authorization: `Bearer ${first.token}` };
    await field.evaluate((element) => element.blur());
    await page.getByRole("dialog").getByLabel("Token", { exact: true }).fill(first.token);
    await page.getByRole("button", { name: "Go on", exact: true }).click();
    await hand.settled();
    await page.getByText("not saved", { exact: true }).waitFor();
    await questioned("With a token?");
    assert.match(page.url(), /build\?workflow=demo%2Frelease/);
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByText("version 4", { exact: true }).waitFor();
    const response = await fetch(`${server.url}/api/v1/resources/workflow/demo/release`, { headers: as });
    assert.match((await response.json()).body.source, /With a token\?/);
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
