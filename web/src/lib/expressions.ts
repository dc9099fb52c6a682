// Expressions in the fields of a form: where they stand, what could be written next, and values in a few letters.

import type { Scope, TypeView } from "../api/editing";

export type Found = { source: string; from: number; to: number };

/** The place of the brace that closes an expression, past texts and inner braces; -1 when it is open. */
function closing(text: string, from: number): number {
  let depth = 0;
  let quote = "";
  for (let at = from; at < text.length; at += 1) {
    const letter = text[at]!;
    if (quote) {
      if (letter === "\\") at += 1;
      else if (letter === quote) quote = "";
    } else if (letter === '"' || letter === "'") quote = letter;
    else if (letter === "{") depth += 1;
    else if (letter === "}") {
      if (depth === 0) return at;
      depth -= 1;
    }
  }
  return -1;
}

/** The expressions in a text. One that is not closed reaches to the end. */
export function expressionsIn(text: string): Found[] {
  const found: Found[] = [];
  let at = 0;
  for (;;) {
    const start = text.indexOf("${", at);
    if (start < 0) return found;
    if (text[start - 1] === "$") {
      at = start + 2;
      continue;
    }
    const end = closing(text, start + 2);
    const to = end < 0 ? text.length : end;
    found.push({ source: text.slice(start + 2, to).trim(), from: start + 2, to });
    at = to + 1;
  }
}

/** The expressions of a field; a bare one is a condition, which needs no `${ }`. */
export function expressionsOf(text: string, bare: boolean): Found[] {
  if (bare && text.trim() !== "" && !text.includes("${")) return [{ source: text.trim(), from: 0, to: text.length }];
  return expressionsIn(text);
}

/** Every expression in a value. */
export function expressionsWithin(value: unknown): string[] {
  const found = new Set<string>();
  const walk = (part: unknown) => {
    if (typeof part === "string") expressionsIn(part).forEach((one) => (one.source ? found.add(one.source) : undefined));
    else if (Array.isArray(part)) part.forEach(walk);
    else if (typeof part === "object" && part !== null) Object.values(part).forEach(walk);
  };
  walk(value);
  return [...found];
}

/** What is being written: the steps of a path that are there, the beginning of the next one, and where in the text that begins. */
export type Fragment = { steps: (string | number)[]; prefix: string; from: number };

const STEP = /([A-Za-z_]\w*)|\[\s*(?:"([^"]*)"|'([^']*)'|(\d+))\s*\]/g;
const PATH = /(?:^|[^\w.\]"'])((?:[A-Za-z_]\w*(?:\[\s*(?:"[^"]*"|'[^']*'|\d+)\s*\])*\.)*)([A-Za-z_]\w*)?$/;

export function fragmentAt(text: string, caret: number, bare: boolean): Fragment | null {
  const inside = expressionsOf(text, bare).find((one) => one.from <= caret && caret <= one.to) ?? (bare && text.trim() === "" ? { from: 0, to: text.length } : undefined);
  if (!inside) return null;
  const before = text.slice(inside.from, caret);
  // Within a text nothing is offered.
  const quotes = before.replace(/\["'][^"']*["']\s*\]/g, "").replaceAll(/\\./g, "");
  if ((quotes.match(/"/g)?.length ?? 0) % 2 === 1 || (quotes.match(/'/g)?.length ?? 0) % 2 === 1) return null;
  const match = PATH.exec(before);
  if (!match) return null;
  const prefix = match[2] ?? "";
  const steps = [...(match[1] ?? "").matchAll(STEP)].map(([, name, double, single, index]) => (index !== undefined ? Number(index) : (name ?? double ?? single)!));
  return { steps, prefix, from: caret - prefix.length };
}

/** The type that a path leads to; none when that is not known. */
export function typeAt(scope: Scope, steps: (string | number)[]): TypeView | undefined {
  const [first, ...rest] = steps;
  if (typeof first !== "string") return undefined;
  return rest.reduce<TypeView | undefined>((found, step) => (typeof step === "number" ? (found?.item as TypeView | undefined) : (found?.fields?.[step] as TypeView | undefined)), scope.names[first]);
}

export type Suggestion = { name: string; type: string; labels: string[]; steps: (string | number)[]; from: number; insert: string };

const SHOWN_MAX = 12;
const PLAIN = /^[A-Za-z_]\w*$/;

/** What could be written next, with the type of each. */
export function suggestionsAt(scope: Scope, fragment: Fragment): Suggestion[] {
  const { steps, prefix, from } = fragment;
  const top = steps.length === 0;
  const fields = top ? scope.names : ((typeAt(scope, steps)?.fields ?? {}) as Record<string, TypeView>);
  const wanted = prefix.toLowerCase();
  const rank = (name: string) => (name.toLowerCase().startsWith(wanted) ? 0 : name.toLowerCase().includes(wanted) ? 1 : 2);
  const names = Object.entries(fields).map(([name, type]): Suggestion => {
    // A name with a `-` is written in brackets, and the dot before it goes.
    const plain = PLAIN.test(name);
    return { name, type: type.name, labels: type.labels ?? [], steps: [...steps, name], from: plain || top ? from : from - 1, insert: plain || top ? name : `["${name}"]` };
  });
  const functions = top && prefix !== "" ? scope.functions.map((name): Suggestion => ({ name: `${name}()`, type: "a function", labels: [], steps: [], from, insert: `${name}(` })) : [];
  return [...names, ...functions]
    .map((suggestion) => ({ suggestion, rank: rank(suggestion.name) }))
    .filter((one) => one.rank < 2 && one.suggestion.name !== prefix)
    .sort((a, b) => a.rank - b.rank)
    .slice(0, SHOWN_MAX)
    .map((one) => one.suggestion);
}

/** The value that a path leads to among values; undefined when there is none. */
export function valueAt(values: unknown, steps: (string | number)[]): unknown {
  return steps.reduce<unknown>((value, step) => (typeof value === "object" && value !== null ? (value as Record<string, unknown>)[step as string] : undefined), values);
}

const SHORT = 80;

/** A value in one short line. */
export function brief(value: unknown): string {
  const artifact = typeof value === "object" && value !== null ? (value as Record<string, { name?: string; kind?: string }>).$artifact : undefined;
  if (artifact) return `${artifact.kind ?? "artifact"} ${artifact.name ?? ""}`.trim();
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > SHORT ? `${text.slice(0, SHORT - 1)}…` : text;
}
