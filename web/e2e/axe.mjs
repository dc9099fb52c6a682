// What axe finds on a page: WCAG 2.2 AA, and the practices that axe knows.
import { createRequire } from "node:module";

const { source } = createRequire(import.meta.url)("axe-core");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** One line for each finding; none on a clean page. */
export async function findings(page) {
  // By the protocol of the browser, not by a script element: the page's own policy would rightly refuse that.
  await page.evaluate(source);
  const { violations } = await page.evaluate((tags) => globalThis.axe.run(document, { runOnly: tags }), TAGS);
  return violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target.flat().join(" ")}: ${node.any.concat(node.all, node.none).map((check) => check.message).join("; ")}`));
}
