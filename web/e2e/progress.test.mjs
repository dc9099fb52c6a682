// Whatever takes longer than a second says that it is under way and for how long: what a page reads, and what a person orders.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { browser, house } from "./house.mjs";

let server, program, page;
/** Answers that are held back, by what asks for them; each is let go by hand. */
let held;

before(async () => {
  server = await house();
  await server.api("POST", "/runs", { workflow: "demo/release", name: "one" });
  await server.until(async () => (await server.api("GET", "/approvals")).length === 1);
  program = await browser();
  page = await program.page();
});

after(async () => {
  await program?.close();
  await server?.stop();
});

/** Holds back what the page asks for at these addresses, until what is given back is called. */
async function holding(pattern, methods = ["GET", "POST", "DELETE"]) {
  held = [];
  let open = false;
  const hold = async (route) => {
    if (open || !methods.includes(route.request().method())) return route.fallback();
    await new Promise((go) => held.push(go));
    await route.fallback();
  };
  await page.route(pattern, hold);
  return async () => {
    open = true;
    held.forEach((go) => go());
    await page.unroute(pattern, hold);
  };
}

/** That the head of the page says what is under way, and counts. */
async function said(what) {
  const bar = page.getByRole("progressbar", { name: what });
  await bar.filter({ hasText: /[1-9]\d* s/ }).waitFor();
  assert.match(await bar.getAttribute("aria-valuetext"), /^[1-9]\d* s$/);
  return bar;
}

describe("work that takes its time", () => {
  for (const address of ["/", "/runs", "/runs/one", "/workflows", "/workflow/demo/release", "/sites", "/artifacts", "/costs", "/governance", "/audit", "/inbox", "/admin", "/build?workflow=demo%2Frelease"]) {
    test(`is said while ${address} is read`, async () => {
      await page.goto(`${server.url}/settings`);
      const go = await holding((url) => url.pathname.startsWith("/api/v1/") && url.pathname !== "/api/v1/events");
      await page.goto(server.url + address);
      const bar = await said("Reading");
      await go();
      await bar.waitFor({ state: "detached" });
    });
  }

  const sayWhy = async () => {
    await page.getByRole("button", { name: "Reject" }).click();
    await page.getByLabel("Why").fill("not now");
  };
  const orders = {
    "a site is closed": ["/sites", () => page.getByRole("button", { name: "Cordon" }).first(), /cordon$/],
    "a run is paused": ["/runs/one", () => page.getByRole("button", { name: "Pause" }), /pause$/],
    "a person decides": ["/inbox", () => page.getByRole("button", { name: "Reject it" }), /decision$/, sayWhy],
  };
  for (const [what, [address, button, path, first]] of Object.entries(orders)) {
    test(`is said while ${what}`, async () => {
      await page.goto(server.url + address);
      await first?.();
      await button().waitFor();
      const go = await holding((url) => path.test(url.pathname), ["POST"]);
      await button().click();
      const bar = await said("Working");
      await go();
      await bar.waitFor({ state: "detached" });
    });
  }

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
