// What is looked at stands in the address: every state can be sent to somebody, and the way back leads through what was chosen.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";

const STEPS = `workflow: demo/steps
nodes:
  slow: {run: {script: 'echo one; echo two >&2; sleep 0.4'}}
  quick: {run: {script: 'echo quick'}}
  each:
    each: {items: [1, 2, 3], do: {use: core/noop, with: {item: "\${ item }"}}}
`;

const WIDE = `workflow: demo/wide
inputs:
  items: {type: array, items: {type: integer}, default: [1]}
nodes:
  all:
    each: {items: "\${ inputs.items }", do: {use: core/noop, with: {item: "\${ item }"}}}
`;

let server, program, page;

before(async () => {
  server = await house({ "sites.yaml": SITES, "steps.workflow.yaml": STEPS, "wide.workflow.yaml": WIDE });
  program = await browser();
  page = await program.page();
  await server.api("POST", "/runs?wait=60", { workflow: "demo/steps", name: "steps" });
  await server.api("POST", "/runs?wait=60", { workflow: "demo/wide", name: "wide", inputs: { items: Array.from({ length: 2_500 }, (_, index) => index) } });
});

after(async () => {
  await program?.close();
  await server?.stop();
});

/** Waits until the table of actions has so many rows and begins with one: it follows the address a moment later. */
const rows = (count, first = "") =>
  page.waitForFunction(
    ([wanted, name]) => {
      const found = [...document.querySelectorAll('[role=table][aria-label="Actions"] [data-row]')];
      return found.length === wanted && found[0].textContent.startsWith(name);
    },
    [count, first],
  );

describe("the address of a run", () => {
  test("keeps the dialog that repeats it, whole or from a node on, and the way back closes it", async () => {
    await page.goto(`${server.url}/runs/steps?tab=table&action=quick`);
    await page.getByRole("button", { name: "Run again from here" }).click();
    await page.waitForURL(/again=quick/);
    await page.reload();
    await page.getByRole("heading", { name: "Run again from quick" }).waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: "Run again from quick" }).waitFor({ state: "detached" });
    await page.goto(`${server.url}/runs/steps?again=true`);
    await page.getByRole("heading", { name: "Repeat steps" }).waitFor();
    await page.keyboard.press("Escape");
    await page.waitForURL((url) => !url.search.includes("again"));
  });

  test("keeps the sorting of the table, its words and its phase", async () => {
    await page.goto(`${server.url}/runs/steps?tab=table`);
    await page.getByRole("button", { name: "took", exact: true }).click();
    await page.waitForURL(/sort=took/);
    await page.getByRole("button", { name: "took" }).click();
    await page.waitForURL(/sort=-took/);
    await rows(6, "slow");
    await page.reload();
    await page.getByRole("columnheader", { name: "took" }).waitFor();
    assert.equal(await page.getByRole("columnheader", { name: "took" }).getAttribute("aria-sort"), "descending");
    await rows(6, "slow");
    await page.getByLabel("Find an action").fill("each[");
    await page.waitForURL(/find=each/);
    await page.reload();
    assert.equal(await page.getByLabel("Find an action").inputValue(), "each[");
    await rows(3);
    await page.getByLabel("Phase").selectOption("failed");
    await page.getByText("No action is like that").waitFor();
    await page.goBack();
    await page.getByRole("table", { name: "Actions" }).waitFor();
    await rows(3);
  });

  test("keeps the action, its pane, the stream and the search of its log; and goes back through them", async () => {
    await page.goto(`${server.url}/runs/steps?tab=table`);
    await page.getByRole("button", { name: "slow", exact: true }).click();
    await page.getByRole("tab", { name: "logs" }).click();
    await page.getByRole("button", { name: "stderr" }).click();
    await page.getByText("two", { exact: true }).waitFor();
    await page.getByLabel("Search the log").fill("tw");
    await page.waitForURL(/grep=tw/);
    const address = page.url();
    const other = await program.page();
    await other.goto(address);
    await other.getByText("two", { exact: true }).waitFor();
    assert.equal(await other.getByLabel("Search the log").inputValue(), "tw");
    await other.close();
    await page.goBack();
    await page.getByRole("tab", { name: "data", exact: true, selected: true }).last().waitFor();
    await page.goBack();
    await page.getByRole("button", { name: "Close the action" }).waitFor({ state: "detached" });
    await page.goForward();
    await page.getByRole("button", { name: "Close the action" }).waitFor();
  });

  test("keeps the moment and the zoom of the timeline", async () => {
    await page.goto(`${server.url}/runs/steps`);
    const slider = page.getByRole("slider", { name: "Moment" });
    await slider.fill("400");
    await page.waitForURL(/at=\d{13}/);
    await page.getByRole("button", { name: "Zoom in" }).click();
    await page.waitForURL(/zoom=/);
    const said = await page.getByText(/^as it was at/).textContent();
    await page.reload();
    await page.getByText(said).waitFor();
    assert.equal(await page.getByRole("button", { name: "All", exact: true }).isDisabled(), false);
    await page.getByRole("button", { name: "All", exact: true }).click();
    await slider.fill("1000");
    await page.waitForURL((url) => !/at=|zoom=/.test(url.search));
  });

  test("keeps how far a large run was looked into", async () => {
    await page.goto(`${server.url}/runs/wide`);
    await page.getByRole("button", { name: /^all … all\[/ }).press("Enter");
    await page.getByText(/^Actions 0 to/).waitFor();
    await page.waitForURL(/look=/);
    await page.reload();
    await page.getByText(/^Actions 0 to/).waitFor();
    await page.goBack();
    await page.getByText("each row counts neighbours").waitFor();
  });

  test("that says nonsense is read as far as it makes sense", async () => {
    await page.goto(`${server.url}/runs/steps?tab=table&sort=evil&at=soon&look=x&zoom=%5B9%2C1%5D&whatif=%7B%22sites%22%3A3%7D&phase=succeeded`);
    await page.getByRole("table", { name: "Actions" }).waitFor();
    await rows(6);
  });
});

describe("the address of the builder", () => {
  test("keeps the node and the pane, and goes back through them", async () => {
    await page.goto(`${server.url}/build?workflow=demo%2Fsteps`);
    await page.getByText("● it checks").waitFor();
    await page.getByTestId("rf__node-quick").click();
    await page.waitForURL(/node=quick/);
    await page.getByLabel("Script").waitFor();
    await page.getByRole("tab", { name: "plan" }).click();
    await page.waitForURL(/pane=plan/);
    await page.goBack();
    await page.getByRole("tab", { name: "form", selected: true }).waitFor();
    await page.reload();
    await page.getByRole("tab", { name: "form", selected: true }).waitFor();
    await page.getByLabel("Script").waitFor();
    await page.goto(`${server.url}/build?workflow=demo%2Fsteps&pane=plan`);
    await page.getByRole("tab", { name: "plan", selected: true }).waitFor();
  });
});

describe("dialogs", () => {
  /** Opens a dialog, reads its address anew, and goes back: it is closed, and the page is there. */
  const keeps = async (address, open, heading, asked) => {
    await page.goto(server.url + address);
    await open();
    await page.getByRole("dialog").getByRole("heading", { name: heading }).waitFor();
    await page.waitForURL(asked);
    await page.reload();
    await page.getByRole("dialog").getByRole("heading", { name: heading }).waitFor();
    await page.goBack();
    await page.getByRole("dialog").getByRole("heading", { name: heading }).waitFor({ state: "detached" });
  };

  test("that test a step or draw a wire stand in the address of the builder", async () => {
    await keeps("/build?workflow=demo%2Fsteps&node=quick", () => page.getByRole("button", { name: "Test this step" }).click(), "Test quick by itself", /test=true/);
    await page.goto(`${server.url}/build?workflow=demo%2Fsteps&draw=${encodeURIComponent('["slow","each"]')}`);
    await page.getByRole("heading", { name: "What goes from slow to each?" }).waitFor();
    // Ends that there are not open nothing.
    await page.goto(`${server.url}/build?workflow=demo%2Fsteps&draw=${encodeURIComponent('["slow","nobody"]')}`);
    await page.getByText("● it checks").waitFor();
    assert.equal(await page.getByRole("dialog").count(), 0);
  });

  test("that hand a question on, make a token or list the keys stand in the address of their page", async () => {
    await server.api("POST", "/apply", { documents: [{ path: "ask.workflow.yaml", text: "workflow: demo/ask\nnodes: {ask: {human: {title: 'Go on?'}}}\n" }] });
    await server.api("POST", "/runs", { workflow: "demo/ask", name: "ask" });
    await server.until(async () => (await server.api("GET", "/approvals")).length === 1);
    await keeps("/inbox?run=ask&action=ask", () => page.getByRole("button", { name: "Delegate" }).click(), "Hand the question to others", /delegate=true/);
    await keeps("/admin", () => page.getByRole("button", { name: "Make a token" }).click(), "Make a token", /make=true/);
    await keeps("/sites", () => page.getByRole("button", { name: "Keys" }).click(), "Keys", /sites\?keys=true/);
  });

  test("writing a policy stands in the address", async () => {
    await page.goto(`${server.url}/governance`);
    await page.getByRole("button", { name: "Write a policy" }).click();
    await page.waitForURL(/write=true/);
    await page.reload();
    await page.getByLabel("Name").waitFor();
    await page.goBack();
    await page.getByLabel("Name").waitFor({ state: "detached" });
  });
});

describe("times", () => {
  test("are written in UTC when Settings says so, on every page and after reading anew", async () => {
    await page.goto(`${server.url}/settings`);
    await page.getByLabel("UTC", { exact: true }).check();
    await page.goto(`${server.url}/runs/steps`);
    await page.getByRole("region", { name: "Where the run stands" }).getByText(/^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}Z$/).waitFor();
    await page.goto(`${server.url}/settings`);
    await page.getByLabel(/^this browser's zone/).check();
    await page.goto(`${server.url}/runs/steps`);
    await page.getByRole("region", { name: "Where the run stands" }).getByText(/\d+:\d{2}:\d{2}.(AM|PM)/).waitFor();
  });
});

describe("the address of the audit log", () => {
  test("keeps its filters", async () => {
    await page.goto(`${server.url}/audit`);
    await page.getByLabel("What").selectOption("run_submitted");
    await page.waitForURL(/what=run_submitted/);
    await page.getByLabel("Run", { exact: true }).fill("steps");
    await page.waitForURL(/run=steps/);
    await page.reload();
    await page.getByText("of steps, in order").waitFor();
    assert.equal(await page.getByLabel("Run", { exact: true }).inputValue(), "steps");
  });

  test("had no error in any page", () => {
    assert.deepEqual(program.errors, []);
  });
});
