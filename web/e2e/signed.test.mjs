// Signed in with a token, and with a clock that is wrong: what a link cannot fetch is saved all the same, what one person saw another does not, and
// times are those of the server.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";

const SAYS = `workflow: demo/says
nodes:
  say: {run: {script: 'echo "what it said"'}}
`;

let server, program, page, admin, viewer;

before(async () => {
  server = await house({ "sites.yaml": SITES, "says.workflow.yaml": SAYS });
  await server.api("POST", "/runs?wait=30", { workflow: "demo/says", name: "said" });
  admin = (await server.api("POST", "/tokens", { name: "root", user: "root", roles: ["admin"], groups: [] })).token;
  viewer = (await server.api("POST", "/tokens", { name: "eve", user: "eve", roles: ["auditor"], groups: [] }, { authorization: `Bearer ${admin}` })).token;
  program = await browser();
  page = await program.page();
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const signIn = async (token) => {
  await page.getByRole("heading", { name: "This server wants a token" }).waitFor();
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Go on" }).click();
};

/** What a button saves. */
const saved = async (button) => {
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  return readFileSync(await download.path(), "utf8");
};

describe("whoever signs in with a token", () => {
  test("saves logs and proofs as files", async () => {
    await page.goto(`${server.url}/runs/said?tab=history&action=say&pane=logs`);
    await signIn(admin);
    await page.getByLabel("stdout of say").getByText("what it said").waitFor();
    assert.equal(await saved(page.getByRole("button", { name: "download" })), "what it said\n");
    assert.match(await saved(page.getByRole("button", { name: "file" }).first()), /^c2sp\.org\/tlog-proof@v1/);
  });

  test("who may not see what a step wrote is told so, and not that there is nothing", async () => {
    await page.goto(`${server.url}/settings`);
    await page.getByRole("button", { name: "Forget the token" }).click();
    await page.goto(`${server.url}/runs/said?tab=table&action=say&pane=logs`);
    await signIn(viewer);
    await page.getByText("◌ There are values, and you may not see them").or(page.getByRole("alert").filter({ hasText: "E0005" })).first().waitFor();
    assert.equal(await page.getByText("it has no log").count() + (await page.getByText("what it said").count()), 0);
  });

  test("takes nothing over from whoever was here before", async () => {
    await page.goto(`${server.url}/runs/said?tab=table&action=say`);
    await page.getByRole("button", { name: "say", exact: true }).waitFor();
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Forget the token" }).click();
    await page.getByRole("heading", { name: "This server wants a token" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByText("◌ the server tells you no news").waitFor();
    await page.goBack();
    await page.getByText("Reading said").or(page.getByRole("alert")).first().waitFor();
    assert.equal(await page.getByRole("button", { name: "say", exact: true }).count(), 0);
  });
});

describe("a draft of the builder", () => {
  const drafts = (page) => page.evaluate(() => Object.keys(sessionStorage).filter((key) => key.startsWith("tutti.draft")).length);

  test("stays with who wrote it, and goes when somebody else signs in", async () => {
    const own = await program.page();
    const enter = async (token) => {
      await own.getByRole("heading", { name: /wants a token|is not known/ }).waitFor();
      await own.getByRole("dialog").getByLabel("Token", { exact: true }).fill(token);
      await own.getByRole("button", { name: "Go on" }).click();
    };
    await own.goto(`${server.url}/build?workflow=demo%2Fsays&pane=form`);
    await enter(admin);
    await own.getByLabel("Description").fill("what root thinks");
    await own.getByLabel("Description").blur();
    await own.waitForFunction(() => sessionStorage.getItem("tutti.draft.demo/says")?.includes("root thinks"));
    await own.getByRole("link", { name: "Settings" }).click();
    const use = async (token) => {
      await own.getByRole("main").getByLabel("Token", { exact: true }).fill(token);
      await own.getByRole("button", { name: "Use this token" }).click();
    };
    await use(admin);
    await own.getByText("● live").waitFor();
    assert.equal(await drafts(own), 1);
    await use(viewer);
    await own.waitForFunction(() => Object.keys(sessionStorage).every((key) => !key.startsWith("tutti.draft")));
    await own.close();
  });
});

describe("a browser whose clock is wrong", () => {
  test("shows the times of the server, and keeps no moment that is yet to come", async () => {
    const ahead = await program.page();
    await ahead.addInitScript((token) => {
      sessionStorage.setItem("tutti.token", token);
      // Three hours ahead.
      const right = Date.now;
      Date.now = () => right() + 3 * 3_600_000;
    }, admin);
    await ahead.goto(`${server.url}/runs`);
    await ahead.getByRole("link", { name: "said" }).waitFor();
    await ahead.getByRole("row", { name: /said/ }).getByText(/just now|[0-9]+ (s|min) ago/).waitFor();
    // A moment that this browser takes for an hour ago, and the server for one that comes in two hours.
    const answers = [];
    ahead.on("response", (response) => (/\/runs\/said\?.*at=/.test(response.url()) ? answers.push(response.status()) : undefined));
    await ahead.goto(`${server.url}/runs/said?at=${Date.now() + 2 * 3_600_000}`);
    await server.until(() => answers.length > 1);
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
