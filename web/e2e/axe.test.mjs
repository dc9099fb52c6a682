// Every page through axe, light and dark.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { findings } from "./axe.mjs";
import { RELEASE, SITES, browser, house } from "./house.mjs";

/** Each page: where it is, and what shows that it is there. */
const PAGES = [
  ["home", "/", (page) => page.getByRole("link", { name: "release-1" }).waitFor()],
  ["workflows", "/workflows", (page) => page.getByRole("link", { name: "demo/release" }).waitFor()],
  ["a workflow", "/workflow/demo/release", (page) => page.getByRole("img", { name: "sign, human" }).waitFor()],
  ["a task that is not there", "/task/demo/development/none", (page) => page.getByText("No such task is deployed").waitFor()],
  ["what is not registered", "/workflow/demo/none", (page) => page.getByText("It is not registered as a workflow").waitFor()],
  ["runs", "/runs", (page) => page.getByRole("link", { name: "release-1" }).waitFor()],
  ["a run's timeline", "/runs/release-1", (page) => page.getByRole("slider", { name: "Moment" }).waitFor()],
  ["a run's graph", "/runs/release-1?tab=graph", (page) => page.getByRole("button", { name: /^count/ }).waitFor()],
  ["a run's table and an action's data", "/runs/release-1?tab=table&action=count", (page) => page.getByText("42", { exact: true }).waitFor()],
  ["a run's data", "/runs/release-1?tab=data", (page) => page.getByRole("heading", { name: "Inputs" }).waitFor()],
  ["a run's history", "/runs/release-1?tab=history", (page) => page.getByRole("button", { name: /^Prove entry/ }).first().waitFor()],
  ["an action's logs", "/runs/release-1?tab=table&action=count", (page) => page.getByRole("tab", { name: "logs" }).click().then(() => page.getByText("counting <b>rows</b>").waitFor())],
  ["an action's placement", "/runs/release-1?tab=table&action=count", (page) => page.getByRole("tab", { name: "placement" }).click().then(() => page.getByRole("region", { name: "Every site for count, as asked" }).getByText("● chosen").waitFor())],
  ["what if of a run", "/runs/release-1?tab=whatif&whatif=%7B%22sites%22%3A%5B%7B%22site%22%3A%22cloud%22%2C%22cpu_hour%22%3A9%7D%5D%2C%22without%22%3A%5B%5D%7D", (page) => page.getByRole("region", { name: "The plan as it is and as asked" }).waitFor()],
  ["repeating", "/runs/over?action=only", (page) => page.getByRole("button", { name: "Run again from here" }).click().then(() => page.getByText("Taken over:").waitFor())],
  ["costs and load", "/costs?hours=1", (page) => page.getByRole("figure", { name: "Load of onprem" }).getByText("The numbers").click().then(() => page.getByRole("columnheader", { name: "wait to begin" }).waitFor())],
  ["the inbox", "/inbox", (page) => page.getByRole("button", { name: "Approve" }).waitFor()],
  ["a question that is answered", "/inbox?run=release-1&action=nothing", (page) => page.getByText("This question is answered").waitFor()],
  ["sites", "/sites", (page) => page.getByRole("button", { name: "Cordon" }).first().waitFor()],
  ["audit", "/audit", (page) => page.getByRole("button", { name: /^Prove entry/ }).first().waitFor()],
  ["governance", "/governance", (page) => page.getByText("No rule is registered").waitFor()],
  ["asking the rules", "/governance?tab=ask", (page) => page.getByRole("button", { name: "Ask" }).waitFor()],
  ["artifacts", "/artifacts", (page) => page.getByText("No artifact yet").waitFor()],
  ["tokens", "/admin", (page) => page.getByText("There is no token").waitFor()],
  ["retention", "/admin?tab=retention", (page) => page.getByRole("row", { name: /Files at onprem/ }).waitFor()],
  ["rejecting a question", "/inbox", (page) => page.getByRole("button", { name: "Reject" }).click().then(() => page.getByLabel("Why").waitFor())],
  ["handing a question on", "/inbox", (page) => page.getByRole("button", { name: "Delegate" }).click().then(() => page.getByLabel("People").waitFor())],
  ["writing a policy", "/governance?write=true", (page) => page.getByText("A new policy").waitFor()],
  ["settings", "/settings", (page) => page.getByLabel("Token").waitFor()],
  ["the builder's text", "/build?workflow=demo%2Frelease", (page) => page.getByText("● it checks").waitFor()],
  ["the builder's form", "/build?workflow=demo%2Frelease", (page) => page.getByTestId("rf__node-count").click().then(() => page.getByLabel("Script").waitFor())],
  ["the builder's plan", "/build?workflow=demo%2Frelease", (page) => page.getByRole("tab", { name: "plan" }).click().then(() => page.getByRole("button", { name: /^count.*onprem/s }).waitFor())],
  ["an empty canvas", "/build", (page) => page.getByText("Nothing is drawn yet").waitFor()],
  ["the builder's files", "/build", (page) => page.getByRole("tab", { name: "files" }).click().then(() => page.getByText("No file yet").waitFor())],
  ["an expression that is being written", "/build?workflow=demo%2Frelease", (page) => page.getByTestId("rf__node-sign").click().then(() => page.getByLabel("Question", { exact: true }).fill("")).then(() => page.getByLabel("Question", { exact: true }).pressSequentially("${ nodes.")).then(() => page.getByRole("option").first().waitFor())],
  ["no page", "/nowhere", (page) => page.getByText("There is no such page").waitFor()],
  ["the keys", "/", (page) => page.getByText("● live").waitFor().then(() => page.keyboard.press("?")).then(() => page.getByRole("heading", { name: "Everywhere" }).waitFor())],
  ["wiring by keys", "/build?workflow=demo%2Frelease", (page) => page.getByTestId("rf__node-count").click().then(() => page.getByTestId("rf__node-count").press("w")).then(() => page.getByRole("heading", { name: "Wire count to" }).waitFor())],
  ["the palette", "/", (page) => page.getByText("● live").waitFor().then(() => page.keyboard.press("Control+k")).then(() => page.getByPlaceholder("Go to a page").waitFor())],
];

let server;

before(async () => {
  server = await house({
    "sites.yaml": SITES,
    "release.workflow.yaml": RELEASE,
    "short.workflow.yaml": "workflow: demo/short\nnodes:\n  only: {use: core/noop, with: {a: 1}}\n",
  });
  await server.api("POST", "/runs", { workflow: "demo/release" });
  await server.api("POST", "/runs?wait=60", { workflow: "demo/short", name: "over" });
  await server.until(async () => (await server.api("GET", "/approvals")).length === 1);
});

after(() => server?.stop());

for (const scheme of ["light", "dark"]) {
  describe(`pages in the ${scheme}`, () => {
    let program;
    before(async () => {
      program = await browser({ colorScheme: scheme, reducedMotion: "reduce" });
    });
    after(() => program?.close());

    for (const [name, address, shown] of PAGES) {
      test(`${name} is clean`, async () => {
        const page = await program.page();
        await page.goto(server.url + address);
        await shown(page);
        const found = await findings(page);
        await page.close();
        assert.deepEqual(found, []);
      });
    }

    test("had no error in any page", () => assert.deepEqual(program.errors, []));
  });
}
