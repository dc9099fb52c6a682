// Pictures of the main screens, light and dark, at two widths: `node scripts/pictures.mjs URL FOLDER [NAME…]`, against a server with the
// bank's story loaded (`make up`).
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { hands } from "../e2e/drawing.mjs";
import { browser } from "../e2e/house.mjs";
import { small } from "./palette.mjs";

const [url, folder, ...only] = process.argv.slice(2);
if (!url || !folder) throw new Error("usage: node scripts/pictures.mjs URL FOLDER [NAME…]");
const RUN = process.env.TUTTI_PICTURE_RUN ?? "fraud-model-1";
const WIDTHS = (process.env.TUTTI_PICTURE_WIDTHS ?? "1440,1024").split(",").map(Number);

/** Each screen: its address, and what is done before the picture is taken. */
const SCREENS = {
  home: ["/"],
  workflows: ["/workflows"],
  workflow: ["/workflow/bank/fraud-model"],
  build: ["/build?workflow=bank%2Ffraud-model", (page) => hands(page).still().then(() => page.getByTestId("rf__node-split").click())],
  run: [`/runs/${RUN}`],
  graph: [`/runs/${RUN}?tab=graph`],
  action: [`/runs/${RUN}?tab=table&action=validate`],
  placement: [`/runs/${RUN}?tab=table&action=card&pane=placement`],
  whatif: [`/runs/${RUN}?tab=whatif`, (page) => page.getByLabel("cloud-frankfurt is there").uncheck().then(() => page.getByText(/would have no place|would go elsewhere/).waitFor())],
  costs: ["/costs?hours=1&days=7&by=site"],
  history: [`/runs/${RUN}?tab=history`],
  inbox: ["/inbox"],
  sites: ["/sites"],
  artifacts: ["/artifacts", (page) => page.getByRole("button", { name: /evidence/ }).first().click()],
  governance: ["/governance"],
  audit: ["/audit"],
  asking: ["/governance?tab=ask", (page) => page.getByLabel("pii", { exact: true }).check().then(() => page.getByRole("button", { name: "Ask" }).click())],
  sanitizers: ["/governance?tab=sanitizers"],
  admin: ["/admin?tab=retention"],
};

mkdirSync(folder, { recursive: true });
for (const colorScheme of ["light", "dark"]) {
  for (const width of WIDTHS) {
    const program = await browser({ viewport: { width, height: Math.round(width * 0.66) }, colorScheme, reducedMotion: "reduce" });
    const page = await program.page();
    for (const [name, [address, act]] of Object.entries(SCREENS)) {
      if (only.length > 0 && !only.includes(name)) continue;
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
