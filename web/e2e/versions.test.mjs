// An artifact has versions: what a step gave under the same name from run to run, each with what it carries and where it lies.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { SITES, browser, house } from "./house.mjs";

const FILES = `workflow: demo/keep
inputs: {file: {type: artifact}}
nodes:
  keep: {use: core/noop, with: {file: "\${ inputs.file }"}}
outputs: {file: "\${ nodes.keep.file }"}
`;

let server, program, page;

before(async () => {
  server = await house({ "sites.yaml": SITES, "keep.workflow.yaml": FILES });
  for (const [run, site, content] of [["one", "onprem", "a,b\n1,2\n"], ["two", "cloud", "a,b\n3,4\n"], ["three", "onprem", "a,b\n1,2\n"]]) {
    const response = await fetch(`${server.url}/api/v1/artifacts?name=table.csv&site=${site}`, { method: "PUT", body: content });
    await server.api("POST", "/runs?wait=30", { workflow: "demo/keep", name: run, inputs: { file: await response.json() } });
  }
  program = await browser();
  page = await program.page();
});

after(async () => {
  await program?.close();
  await server?.stop();
});

describe("the versions of an artifact", () => {
  test("are listed with the run in which each came to be and where it lies, and lead to each other", async () => {
    await page.goto(`${server.url}/artifacts`);
    await page.getByRole("row", { name: /table\.csv.*two/ }).getByText("cloud").waitFor();
    await page.getByRole("row", { name: /table\.csv.*two/ }).getByRole("button", { name: "table.csv" }).click();
    const versions = page.getByRole("region", { name: "Versions" });
    await versions.getByText("2 versions of table.csv").waitFor();
    const rows = versions.getByRole("listitem");
    assert.equal(await rows.count(), 2, "the third run has the content of the first again");
    await rows.nth(0).getByText("version 2").waitFor();
    await rows.nth(0).getByText("at cloud").waitFor();
    await rows.nth(0).getByRole("link", { name: "two" }).waitFor();
    await rows.nth(1).getByText(/^at .*onprem/).waitFor();
    await rows.nth(1).getByRole("link", { name: "one" }).waitFor();
    assert.equal(await rows.nth(0).getAttribute("aria-current"), "true");
    await rows.nth(1).getByRole("link", { name: "version 1" }).click();
    await versions.locator("[aria-current=true]").getByText("version 1").waitFor();
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
