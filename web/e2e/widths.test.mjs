// Every screen on a tablet that is touched and on a very wide screen: nothing scrolls sideways, and what is pressed is large enough.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { findings } from "./axe.mjs";
import { RELEASE, SITES, browser, house } from "./house.mjs";

const SCREENS = {
  home: ["/", (page) => page.getByRole("link", { name: "release-1" }).first()],
  workflows: ["/workflows", (page) => page.getByRole("link", { name: "demo/release" })],
  "a workflow": ["/workflow/demo/release", (page) => page.getByRole("img", { name: "sign, human" })],
  runs: ["/runs", (page) => page.getByRole("link", { name: "release-1" })],
  "a run's timeline": ["/runs/release-1", (page) => page.getByRole("slider", { name: "Moment" })],
  "a run's graph": ["/runs/release-1?tab=graph", (page) => page.getByRole("button", { name: /^count/ })],
  "a run's table and an action": ["/runs/release-1?tab=table&action=count", (page) => page.getByText("42", { exact: true })],
  "what if of a run": ["/runs/release-1?tab=whatif", (page) => page.getByLabel("cloud is there")],
  "a run's history": ["/runs/release-1?tab=history", (page) => page.getByRole("button", { name: /^Prove entry/ }).first()],
  "the inbox": ["/inbox", (page) => page.getByRole("button", { name: "Approve" })],
  sites: ["/sites", (page) => page.getByRole("button", { name: "Cordon" }).first()],
  costs: ["/costs?hours=1", (page) => page.getByRole("figure", { name: "Load of onprem" })],
  artifacts: ["/artifacts", (page) => page.getByText("No artifact yet")],
  governance: ["/governance", (page) => page.getByText("No rule is registered")],
  "asking the rules": ["/governance?tab=ask", (page) => page.getByRole("button", { name: "Ask" })],
  audit: ["/audit", (page) => page.getByRole("button", { name: /^Prove entry/ }).first()],
  administration: ["/admin?tab=retention", (page) => page.getByRole("row", { name: /Files at onprem/ })],
  settings: ["/settings", (page) => page.getByLabel("Token")],
  "the builder": ["/build?workflow=demo%2Frelease&node=count", (page) => page.getByLabel("Script")],
};

let server;

before(async () => {
  server = await house({ "sites.yaml": SITES, "release.workflow.yaml": RELEASE });
  await server.api("POST", "/runs", { workflow: "demo/release" });
  await server.until(async () => (await server.api("GET", "/approvals")).length === 1);
});

after(() => server?.stop());

/** By how much the page is wider than the screen, and the buttons and fields that reach beyond it and can be scrolled to nowhere. */
const beyond = (page) =>
  page.evaluate(() => {
    const scrolls = (element) => {
      for (let up = element; up && up !== document.body; up = up.parentElement) if (/auto|scroll|hidden/.test(getComputedStyle(up).overflowX)) return true;
      return false;
    };
    const lost = [...document.querySelectorAll("a, button, input, select, textarea")]
      .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 1 && !scrolls(element))
      .map((element) => element.textContent || element.getAttribute("aria-label"));
    return { wider: Math.max(0, document.documentElement.scrollWidth - innerWidth), lost };
  });

for (const [kind, options] of Object.entries({
  "a tablet": { viewport: { width: 820, height: 1180 }, hasTouch: true },
  "a tablet in the dark": { viewport: { width: 820, height: 1180 }, hasTouch: true, colorScheme: "dark" },
  "a wide screen": { viewport: { width: 2560, height: 1440 } },
})) {
  describe(`on ${kind}`, () => {
    let program, page;
    before(async () => {
      program = await browser({ ...options, reducedMotion: "reduce" });
      page = await program.page();
    });
    after(() => program?.close());

    for (const [name, [address, shown]] of Object.entries(SCREENS)) {
      test(`${name} fits`, async () => {
        await page.goto(server.url + address);
        await shown(page).waitFor();
        assert.deepEqual(await beyond(page), { wider: 0, lost: [] });
        assert.deepEqual(await findings(page), []);
      });
    }

    test("had no error in any page", () => assert.deepEqual(program.errors, []));
  });
}
