// Hands for the builder: what a person does with mouse and keys, for tests that draw.

/** What each field of a node's form is called, by its path in the file. */
const FIELDS = {
  "run.script": "Script",
  "run.command": "Command",
  "run.env": "Environment",
  "run.files": "Files",
  "human.title": "Question",
  "human.assign": "Assigned to",
  "human.show": "Evidence",
  "human.form": "Form",
  "human.second": "Second person",
  wait: "Wait",
  "each.items": "Items",
  "each.concurrency": "At once",
  "each.do": "Do",
  decide: "Branches",
};
const MODIFIERS = { if: "Only if", after: "After", lowers: "Lowers", needs: "Needs", retry: "Retry", timeout: "Timeout", cache: "Cache", once: "Once", undo: "Undo", outputs: "Outputs" };

const written = (value) => (typeof value === "string" ? value : JSON.stringify(value));

export function hands(page) {
  const node = (id) => page.getByTestId(`rf__node-${id}`);
  const settled = () => page.waitForFunction(() => document.querySelector("[data-builder]")?.getAttribute("aria-busy") === "false");
  const form = page.locator("[data-node-form]");
  /** Waits until the picture is that of the text, with what the rules say of it, and stands: before that, whoever grabs something grabs where it was. */
  const still = () => page.waitForFunction(() => document.querySelector('[data-builder][aria-busy="false"] .react-flow') && !document.querySelector('[data-builder] [aria-busy="true"]'));
  const fit = async () => {
    await still();
    await page.getByRole("button", { name: "Fit View" }).click();
    await still();
  };

  /** Writes into a field and leaves it, as one edit. */
  const fill = async (label, value) => {
    const field = form.getByLabel(label, { exact: true }).first();
    await field.fill(written(value));
    await field.blur();
    await settled();
  };

  const choose = async (id) => {
    if ((await form.count()) > 0 && (await form.getByLabel("Name", { exact: true }).inputValue()) === id) return;
    await fit();
    await node(id).click({ position: { x: 60, y: 12 } });
    await page.waitForFunction((name) => document.querySelector("[data-node-form] input")?.value === name, id);
  };

  const give = async (name, value) => {
    await form.getByLabel("Name of a new input").fill(name);
    await form.getByRole("button", { name: "Add", exact: true }).click();
    await settled();
    await fill(name, value);
  };

  /** Draws a wire from a node until it is over another, and holds it there. */
  const pull = async (from, to) => {
    await still();
    const end = async (id, side) => {
      const box = await node(id).locator(`.react-flow__handle.${side}`).boundingBox();
      return [box.x + box.width / 2, box.y + box.height / 2];
    };
    const [start, aim] = [await end(from, "source"), await end(to, "target")];
    await page.mouse.move(...start);
    await page.mouse.down();
    await page.mouse.move(aim[0] + 30, aim[1] + 20, { steps: 4 });
    return {
      drop: async () => {
        await page.mouse.move(...aim, { steps: 4 });
        await page.mouse.up();
      },
    };
  };

  return {
    node,
    form,
    fill,
    choose,
    give,
    settled,
    still,
    fit,
    pull,

    /** Adds a node from the catalogue and gives it its name. */
    async add(entry, id) {
      await page.getByRole("navigation", { name: "Catalogue" }).getByRole("button", { name: entry, exact: true }).click();
      const name = form.getByLabel("Name", { exact: true });
      await name.waitFor();
      await settled();
      if ((await name.inputValue()) !== id) {
        await name.fill(id);
        await name.press("Enter");
        await settled();
      }
      await node(id).waitFor();
    },

    /** Fills in the fields of the kind and the modifiers of the node that is chosen; what a template began with and is not wanted is emptied. */
    async describe(wanted, note) {
      if (note) await fill("Note", note);
      const kind = ["run", "human", "each", "wait"].find((known) => known in wanted);
      const parts = kind && typeof wanted[kind] === "object" ? Object.entries(wanted[kind]).map(([part, value]) => [`${kind}.${part}`, value]) : [];
      if (kind === "run" && !("script" in wanted.run)) await fill("Script", "");
      for (const [path, value] of parts) await fill(FIELDS[path], value);
      if (wanted.decide) await fill("Branches", wanted.decide);
      const modifiers = Object.entries(MODIFIERS).filter(([name]) => name in wanted);
      if (modifiers.length === 0) return;
      await form.getByText("Modifiers", { exact: true }).click();
      for (const [name, label] of modifiers) await fill(label, wanted[name]);
    },

    /** Draws a wire from one node to another and says that it carries a field, under a name. */
    async wire(from, field, to, name) {
      await fit();
      await (await pull(from, to)).drop();
      const dialog = page.getByRole("dialog");
      await dialog.getByRole("heading", { name: `What goes from ${from} to ${to}?` }).waitFor();
      await dialog.getByRole("radio", { name: new RegExp(`^${field}( |$)`) }).check();
      await dialog.getByLabel(`As the input of ${to}`).fill(name);
      await dialog.getByRole("button", { name: /^(Wire|Replace what it reads)$/ }).click();
      await dialog.waitFor({ state: "detached" });
      await settled();
    },
  };
}
