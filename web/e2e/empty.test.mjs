// Pages that have nothing yet teach with an example: each opens in the builder and runs as it stands, or can be pasted into a terminal and is taken.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { hands } from "./drawing.mjs";
import { browser, house } from "./house.mjs";

let server, program, page;

before(async () => {
  server = await house({});
  program = await browser();
  page = await program.page();
});

after(async () => {
  await program?.close();
  await server?.stop();
});

/** What a shell would do with what is to be pasted: the file that it writes, and the command for it. */
function pasted(text) {
  const [, file, body, command] = /^cat > (\S+) <<'END'\n([\s\S]*\n)END\n(.*)$/.exec(text.trim());
  return { file, body, command };
}

const TERMINAL = {
  home: "/",
  workflows: "/workflows",
  runs: "/runs",
  artifacts: "/artifacts",
  governance: "/governance",
  tags: "/governance?tab=tags",
  sanitizers: "/governance?tab=sanitizers",
};

describe("an empty page", () => {
  for (const [name, address] of Object.entries(TERMINAL)) {
    test(`of ${name} has something to paste that the server takes as it stands`, async () => {
      await page.goto(server.url + address);
      const { file, body, command } = pasted(await page.getByLabel("To paste into a terminal").innerText());
      assert.match(command, new RegExp(`^tutti (run|apply -f) ${file}`));
      const checked = await server.api("POST", "/check", { documents: [{ path: file, text: body }] });
      assert.deepEqual(checked.diagnostics, [], body);
      assert.equal(await page.getByRole("button", { name: "Copy" }).isEnabled(), true);
    });
  }

  const drawn = { home: ["/", "greet"], "the inbox": ["/inbox", "decide"], artifacts: ["/artifacts", "rows"] };
  for (const [name, [address, node]] of Object.entries(drawn)) {
    test(`of ${name} opens its example in the builder, as a step that can be undone`, async () => {
      const other = await program.page();
      const hand = hands(other);
      await other.goto(server.url + address);
      await other.getByRole("link", { name: "Begin with an example" }).click();
      await hand.node(node).waitFor();
      await other.getByText("● it checks").waitFor();
      await other.getByRole("button", { name: "Undo" }).click();
      await other.getByText("Nothing is drawn yet").waitFor();
      await other.getByRole("button", { name: "Redo" }).click();
      await hand.node(node).waitFor();
      await other.getByRole("button", { name: "Save" }).click();
      await other.getByText("version 1", { exact: true }).waitFor();
      await other.close();
    });
  }

  test("is none when the example ran: the table is an artifact, the question waits, and the greeting was said", async () => {
    const table = await server.api("POST", "/runs?wait=30", { workflow: "default/table" });
    assert.equal(table.phase, "succeeded", JSON.stringify(table.failure));
    await server.api("POST", "/runs", { workflow: "default/ask" });
    const greet = await server.api("POST", "/runs?wait=30", { workflow: "default/greet" });
    assert.equal(greet.phase, "succeeded", JSON.stringify(greet.failure));
    await page.goto(`${server.url}/artifacts`);
    await page.getByRole("button", { name: "rows.csv" }).waitFor();
    await page.goto(`${server.url}/inbox`);
    await page.getByRole("heading", { name: "Shall it go on?" }).waitFor();
  });

  test("had no error in any page", () => assert.deepEqual(program.errors, []));
});
