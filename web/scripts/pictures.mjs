// Pictures of the main screens, light and dark, at two widths: `node web/scripts/pictures.mjs URL docs/guide/screens` makes those of the guide and
// their page beside the folder; `… URL FOLDER NAME…` makes those that are named. URL is a server with the bank's story loaded (`make up`).
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

import { hands } from "../e2e/drawing.mjs";
import { browser } from "../e2e/house.mjs";
import { small } from "./palette.mjs";

const [url, folder, ...only] = process.argv.slice(2);
if (!url || !folder) throw new Error("usage: node scripts/pictures.mjs URL FOLDER [NAME…]");
const RUN = process.env.TUTTI_PICTURE_RUN ?? "fraud-model-1";
const WIDTHS = (process.env.TUTTI_PICTURE_WIDTHS ?? "1440,1024").split(",").map(Number);

/** Each screen: its address, what is done before the picture is taken, and what the guide calls it when it is a part of that. */
const SCREENS = {
  home: ["/", undefined, "Home"],
  workflows: ["/workflows", undefined, "What can be run: workflows and Flyte tasks"],
  workflow: ["/workflow/bank/fraud-model"],
  build: ["/build?workflow=bank%2Ffraud-model", (page) => hands(page).still().then(() => page.getByTestId("rf__node-split").click()), "The builder: wires in the colours of what they carry"],
  run: [`/runs/${RUN}?action=train`, undefined, "A run: its timeline, and an action"],
  graph: [`/runs/${RUN}?tab=graph`],
  action: [`/runs/${RUN}?tab=table&action=validate`],
  placement: [`/runs/${RUN}?tab=table&action=card&pane=placement`, (page) => page.getByRole("region", { name: "Every site and its verdict" }).scrollIntoViewIfNeeded(), "An action: why it is where it is"],
  whatif: [`/runs/${RUN}?tab=whatif`, (page) => page.getByLabel("cloud-frankfurt is there").uncheck().then(() => page.getByText(/would have no place|would go elsewhere/).waitFor()).then(() => page.getByRole("list", { name: "What would go elsewhere" }).scrollIntoViewIfNeeded()), "A run: what if a site were taken away"],
  costs: ["/costs?hours=1&days=7&by=site", undefined, "Costs and load"],
  history: [`/runs/${RUN}?tab=history`],
  inbox: ["/inbox", undefined, "The inbox"],
  sites: ["/sites", undefined, "Sites"],
  artifacts: ["/artifacts", (page) => page.getByRole("button", { name: /evidence/ }).first().click(), "Artifacts and their lineage"],
  governance: ["/governance", undefined, "Governance: a policy"],
  audit: ["/audit", undefined, "The audit log"],
  asking: ["/governance?tab=ask", (page) => page.getByLabel("pii", { exact: true }).check().then(() => page.getByRole("button", { name: "Ask" }).click())],
  sanitizers: ["/governance?tab=sanitizers"],
  admin: ["/admin?tab=retention", undefined, "Admin: what is stored"],
};

/** Something to decide: a run of the story that has come to its question. */
async function asked() {
  const api = async (path, body) => (await fetch(`${url}/api/v1${path}`, body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();
  if ((await api("/approvals:count")).waiting === 0) await api("/runs", { workflow: "bank/fraud-model" });
  for (let tries = 0; (await api("/approvals:count")).waiting === 0; tries += 1) {
    if (tries === 300) throw new Error("no run of the story comes to its question");
    await new Promise((wake) => setTimeout(wake, 1_000));
  }
}

const wanted = Object.entries(SCREENS).filter(([name, [, , title]]) => (only.length > 0 ? only.includes(name) : title));
mkdirSync(folder, { recursive: true });
await asked();
for (const colorScheme of ["light", "dark"]) {
  for (const width of WIDTHS) {
    const program = await browser({ viewport: { width, height: Math.round(width * 0.66) }, colorScheme, reducedMotion: "reduce" });
    const page = await program.page();
    for (const [name, [address, act]] of wanted) {
      await page.goto(url + address);
      await page.getByText("● live").waitFor();
      // Everything that was asked for has come, and the picture of the builder stands.
      await page.waitForLoadState("networkidle", { timeout: 1_500 }).catch(() => {});
      if (act) await act(page);
      if (address.startsWith("/build")) await hands(page).still();
      await page.waitForTimeout(400);
      writeFileSync(join(folder, `${name}-${colorScheme}-${width}.png`), small(await page.screenshot()));
    }
    await program.close();
  }
}

/** The page of the guide, with every picture. */
function page() {
  const widths = WIDTHS.map((width) => width.toLocaleString("en-US")).join(" and at ");
  const head = `# The screens

The main screens with the bank's story loaded, light and dark, at ${widths} points of width. Pictures and this page are made with
\`node web/scripts/pictures.mjs URL docs/guide/screens\` against a server that \`make up\` started. Why they look so stands in the
[Design notes](web-design-notes.md).
`;
  const sections = wanted.map(([name, [, , title]]) => {
    const pictures = WIDTHS.flatMap((width) => ["light", "dark"].map((theme) => `![${title}, ${theme}, ${width} points wide](${basename(folder)}/${name}-${theme}-${width}.png)`));
    return `\n## ${title}\n\n${pictures.join("\n\n")}\n`;
  });
  return head + sections.join("");
}

if (only.length === 0) writeFileSync(join(folder, "../web-screens.md"), page());
