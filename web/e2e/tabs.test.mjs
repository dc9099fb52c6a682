// One person with many tabs: a browser holds six connections to a server for all of them together, and each tab wants to follow what happens.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { browser, house } from "./house.mjs";

const TABS = 8;
/** Longer than a tab that is not seen follows what happens. */
const UNSEEN_MS = 11_000;

let server, program, person;

before(async () => {
  server = await house();
  program = await browser();
  person = await program.person();
  // The tabs of a headless browser are all seen: whether this one is, the test says.
  await person.addInitScript(() => {
    let seen = true;
    Object.defineProperty(document, "visibilityState", { get: () => (seen ? "visible" : "hidden") });
    globalThis.beSeen = (next) => {
      seen = next;
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    };
  });
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const see = (page, seen) => page.evaluate((next) => globalThis.beSeen(next), seen);

describe("more tabs than a browser has connections", () => {
  const tabs = [];

  test("are opened one after the other, and each works while it is looked at", async () => {
    for (let at = 0; at < TABS; at += 1) {
      const page = await program.page(person);
      await page.clock.install();
      await page.goto(`${server.url}/runs`);
      await page.getByText("● live").waitFor();
      tabs.push(page);
      if (at === TABS - 1) break;
      await see(page, false);
      await page.clock.fastForward(UNSEEN_MS);
      await page.getByText("connecting").waitFor();
    }
    await server.api("POST", "/runs", { workflow: "demo/release" });
    await tabs.at(-1).getByRole("link", { name: "release-1" }).waitFor();
  });

  test("and one that is looked at again shows what happened meanwhile", async () => {
    assert.equal(await tabs[0].getByRole("link", { name: "release-1" }).count(), 0);
    await see(tabs[0], true);
    await tabs[0].getByRole("link", { name: "release-1" }).waitFor();
    await tabs[0].getByText("● live").waitFor();
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
