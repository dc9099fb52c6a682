// What somebody typed or looked at stays: over a failure in between, over what others do meanwhile, and on the way back.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { RELEASE, SITES, browser, house } from "./house.mjs";

const FILL = `workflow: demo/fill
inputs:
  names: {type: array, items: {type: string}}
  rows: {type: array, items: {type: object}}
  size: {type: object, properties: {wide: {type: integer}, note: {type: string}}, default: {wide: 1, note: n}}
nodes:
  keep: {use: core/noop, with: {names: "\${ inputs.names }"}}
`;

/** A picture that would do something if it were a page. */
const DRAWS = `workflow: demo/draws
nodes:
  draw:
    run: {script: 'printf "<svg xmlns=\\"http://www.w3.org/2000/svg\\" width=\\"40\\" height=\\"40\\" onload=\\"parent.hit=1;window.hit=1\\"><script>parent.hit=1;top.hit=1</script><rect width=\\"40\\" height=\\"40\\"/></svg>" > "$TUTTI_OUT_DIR/bad.svg"; printf "{\\"picture\\":{\\"\\$file\\":\\"bad.svg\\"}}" > "$TUTTI_OUTPUT"'}
    outputs: {picture: file}
`;

let server, program, page;

before(async () => {
  server = await house({ "sites.yaml": SITES, "release.workflow.yaml": RELEASE, "fill.workflow.yaml": FILL, "draws.workflow.yaml": DRAWS });
  program = await browser();
  page = await program.page();
});

after(async () => {
  await program?.close();
  await server?.stop();
});

const apply = (path, text) => server.api("POST", "/apply", { documents: [{ path, text }] });

describe("the form that starts a run", () => {
  const given = { names: ["ann", "bob"], rows: [{ x: 1 }], size: { wide: 7, note: "as before" } };

  test("shows the values of the last run, and sends what it shows", async () => {
    await server.api("POST", "/runs?wait=30", { workflow: "demo/fill", inputs: given });
    await page.goto(`${server.url}/workflow/demo/fill`);
    await page.getByLabel("names").fill("somebody else");
    await page.getByRole("button", { name: "use the last values" }).click();
    assert.equal(await page.getByLabel("names").inputValue(), "ann\nbob");
    assert.deepEqual(JSON.parse(await page.getByLabel("rows").inputValue()), given.rows);
    assert.equal(await page.getByLabel("wide").inputValue(), "7");
    await page.getByLabel("wide").fill("8");
    await page.getByRole("button", { name: "Start" }).click();
    await page.waitForURL(/\/runs\/fill-2/);
    assert.deepEqual((await server.api("GET", "/runs/fill-2")).inputs, { ...given, size: { wide: 8, note: "as before" } });
  });

  test("keeps what was filled in when somebody saves another version", async () => {
    await page.goto(`${server.url}/workflow/demo/fill`);
    await page.getByLabel("names").fill("half filled");
    await apply("fill.workflow.yaml", FILL.replace("nodes:", "  more: {type: string, default: new}\nnodes:"));
    await page.getByText(/^version 2/).waitFor();
    await page.getByLabel("more").waitFor();
    assert.equal(await page.getByLabel("names").inputValue(), "half filled");
    assert.equal(await page.getByLabel("more").inputValue(), "new");
  });
});

describe("the question that is looked at in the inbox", () => {
  test("stays when it is answered by somebody else: no other slides under the finger", async () => {
    for (const title of ["one", "two"]) await server.api("POST", "/runs", { workflow: "demo/release", name: title, inputs: { title } });
    await server.until(async () => (await server.api("GET", "/approvals")).length === 2);
    await page.goto(`${server.url}/inbox`);
    const [first, other] = (await server.api("GET", "/approvals")).map((question) => question.run);
    await page.getByRole("heading", { name: `Release 42 rows of ${first}?` }).waitFor();
    await server.api("POST", `/runs/${first}/decision?path=sign`, { decision: "approve", form: { comment: "by another" } });
    await page.getByText("This question is answered").waitFor();
    assert.equal(await page.getByRole("button", { name: "Approve" }).count(), 0);
    await page.getByRole("button", { name: "The next question" }).click();
    await page.getByRole("heading", { name: `Release 42 rows of ${other}?` }).waitFor();
  });

  test("keeps what was typed when it cannot be read again for a while", async () => {
    await page.getByLabel("Comment").fill("half a sent");
    const failed = page.waitForResponse((response) => response.status() === 502);
    await page.route("**/api/v1/approvals?*", (route) => route.fulfill({ status: 502, body: "a proxy in between" }));
    await server.api("POST", "/runs", { workflow: "demo/release", name: "three", inputs: { title: "three" } });
    await failed;
    // Given up after some tries; the page stands.
    await page.waitForTimeout(1_500);
    assert.equal(await page.getByLabel("Comment").inputValue(), "half a sent");
    await page.unroute("**/api/v1/approvals?*");
    await server.api("POST", "/runs", { workflow: "demo/release", name: "four", inputs: { title: "four" } });
    await page.getByRole("button", { name: /Release 42 rows of four\?/ }).waitFor();
    assert.equal(await page.getByLabel("Comment").inputValue(), "half a sent");
  });

  test("is rejected with why, which stands in its run", async () => {
    await page.getByRole("button", { name: "Reject" }).click();
    const dialog = page.getByRole("dialog");
    assert.equal(await dialog.getByRole("button", { name: "Reject it" }).isDisabled(), true);
    await dialog.getByLabel("Why").fill("not <b>now</b>");
    await dialog.getByRole("button", { name: "Reject it" }).click();
    await page.getByText("This question is answered").waitFor();
  });
});

describe("the builder", () => {
  test("shows what a program wrote that was tested by itself", async () => {
    await page.goto(`${server.url}/build?workflow=demo%2Frelease&node=count`);
    await page.getByRole("button", { name: "Test this step" }).click();
    await page.getByRole("button", { name: "Test it" }).click();
    const outcome = page.getByRole("region", { name: "What came of it" });
    await outcome.getByText("counting <b>rows</b>").waitFor();
    await outcome.getByRole("button", { name: "stderr" }).click();
    await outcome.getByText("nothing was written").waitFor();
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByText("● it checks").waitFor();
  });

  test("shows the conflict to the later of two who save at the same moment, and what was taken can be taken back", async () => {
    const [mine, theirs] = [`# Mine.\n${RELEASE}`, `# Theirs.\n${RELEASE}`];
    await page.goto(`${server.url}/build?workflow=demo%2Frelease&pane=form`);
    const description = page.getByLabel("Description");
    await description.fill("of mine");
    await description.blur();
    await page.getByText("not saved").waitFor();
    // Between the look at the version and the saving somebody else saves.
    const first = async (route) => {
      await apply("release.workflow.yaml", theirs);
      await route.continue();
    };
    await page.route("**/api/v1/apply", first, { times: 1 });
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Somebody saved another version meanwhile").waitFor();
    assert.equal((await server.api("GET", "/resources/workflow/demo/release")).body.source, theirs);
    await page.getByRole("button", { name: "Take theirs" }).click();
    await page.getByText("version 2", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("not saved").waitFor();
    assert.equal(await description.inputValue(), "of mine");
    assert.ok(mine !== theirs);
    await page.getByRole("button", { name: "Redo" }).click();
    await page.getByText("version 2", { exact: true }).waitFor();
  });

  test("begins anew on the way back from the first save of a new workflow", async () => {
    await page.goto(`${server.url}/build`);
    await page.getByRole("button", { name: "Begin with an example" }).click();
    await page.getByText("● it checks").waitFor();
    await page.getByRole("tab", { name: "plan" }).click();
    await page.waitForURL(/pane=plan/);
    await page.getByRole("button", { name: "Save" }).click();
    await page.waitForURL(/workflow=default/);
    await page.getByText("version 1").waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: "default/new-workflow" }).waitFor();
    await page.getByText("Nothing is drawn yet").waitFor();
  });
});

describe("a picture among the artifacts", () => {
  test("is shown, and runs nothing that is in it", async () => {
    await server.api("POST", "/runs?wait=30", { workflow: "demo/draws", name: "draws" });
    await page.goto(`${server.url}/runs/draws?tab=table&action=draw`);
    await page.getByRole("button", { name: "show", exact: true }).click();
    const picture = page.getByRole("img", { name: "bad.svg" });
    await picture.waitFor();
    await page.waitForFunction(() => document.querySelector('img[alt="bad.svg"]')?.naturalWidth === 40);
    assert.equal(await page.evaluate(() => window.hit), undefined);
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
