import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

const css = readFileSync(new URL("../src/theme.css", import.meta.url), "utf8");

/** The values of one theme. */
function values(selector: string): Record<string, string> {
  const from = css.indexOf(`${selector} {`);
  const body = css.slice(from, css.indexOf("}", from));
  return Object.fromEntries([...body.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name!, value!]));
}

function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

/** By the formula of WCAG 2. */
function contrast(one: string, other: string): number {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light! + 0.05) / (dark! + 0.05);
}

const TEXT = ["ink", "soft", "faint", "accent", "good", "bad", "warn", "busy", "idle", "tag-0", "tag-1", "tag-2", "tag-3", "tag-4", "tag-5"];

describe.each([
  ["light", ":root"],
  ["dark", ':root[data-theme="dark"]'],
])("the %s theme", (_, selector) => {
  const theme = values(selector);
  const least = (name: string) => Math.min(...["surface", "raised", "sunken"].map((ground) => contrast(theme[name]!, theme[ground]!)));

  test.each(TEXT)("has 4.5 to 1 for text in %s on every ground", (name) => expect(least(name)).toBeGreaterThanOrEqual(4.5));
  test("has 3 to 1 for the bounds of fields on every ground", () => expect(least("edge")).toBeGreaterThanOrEqual(3));
  test("has 4.5 to 1 for text on the accent", () => expect(contrast(theme["on-accent"]!, theme.accent!)).toBeGreaterThanOrEqual(4.5));
});
