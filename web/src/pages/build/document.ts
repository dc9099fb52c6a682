// What the builder shows, read off the document as plain data. It works on files that are not right yet.

import type { Connector, Edit, Finding } from "../../api/editing";
import { pointer, WIRED } from "../../api/editing";
import type { TaskView } from "../../api/types";
import { expressionsOf } from "../../lib/expressions";
import { outputsOfTask, taskOf } from "./tasks";

export type Doc = Record<string, unknown>;
export type NodeDoc = Record<string, unknown>;

export const KINDS = ["use", "run", "task", "workflow", "human", "wait", "each", "decide"] as const;
export type Kind = (typeof KINDS)[number];

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

export function nodesOf(doc: Doc): [string, NodeDoc][] {
  return Object.entries(record(doc.nodes)).map(([id, node]) => [id, record(node)]);
}

export function kindOf(node: NodeDoc): Kind | "" {
  return KINDS.find((kind) => kind in node) ?? "";
}

/** One line about what a node does. */
export function summary(node: NodeDoc): string {
  const kind = kindOf(node);
  const value = node[kind];
  if (kind === "use" || kind === "task" || kind === "workflow") return String(value ?? "");
  if (kind === "run") return Array.isArray(value) ? value.join(" ") : String(record(value).script ?? (record(value).command as string[] | undefined)?.join(" ") ?? "").split("\n")[0]!;
  if (kind === "human") return String(record(value).title ?? "");
  if (kind === "wait") return Object.entries(record(value)).map(([name, what]) => `${name} ${String(what)}`)[0] ?? "";
  if (kind === "each") return `for each of ${String(record(value).items ?? "")}`;
  if (kind === "decide") return `${Array.isArray(value) ? value.length : 0} branches`;
  return "";
}

/** Where an expression stands without `${ }`. */
const BARE = new Set(["if", "when", "second"]);

/** What follows a name in an expression: a word after a dot, or a text in brackets. Texts are passed over. */
const MEMBER = /(?<![\w.])(nodes|inputs)\s*(?:\.\s*([A-Za-z_]\w*)|\[\s*(?:"([^"]*)"|'([^']*)')\s*\])|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g;

/** What the expressions in a value read of the nodes, or of the inputs. */
function readOf(root: "nodes" | "inputs", value: unknown): string[] {
  const found = new Set<string>();
  const walk = (part: unknown, bare: boolean) => {
    if (typeof part === "string") {
      for (const { source } of expressionsOf(part, bare)) for (const [, of, word, double, single] of source.matchAll(MEMBER)) if (of === root) found.add(word ?? double ?? single ?? "");
    } else if (Array.isArray(part)) part.forEach((item) => walk(item, bare));
    else if (typeof part === "object" && part !== null) Object.entries(part).forEach(([key, item]) => walk(item, BARE.has(key)));
  };
  walk(value, false);
  return [...found];
}

/** The nodes that the expressions in a value refer to. */
export const references = (value: unknown) => readOf("nodes", value);

/** The inputs of the workflow that the expressions in a value refer to. */
export const inputsRead = (value: unknown) => readOf("inputs", value);

const step = (name: string) => (/^[A-Za-z_]\w*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`);

/** The expression that reads what a node gives, or a field of it. */
export const reading = (node: string, field: string | null) => `\${ nodes${step(node)}${field ? step(field) : ""} }`;

export type Wire = { from: string; to: string; kind: "data" | "after" | "branch" };

function list(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}

/** The wires of a document: references, `after`, and what a `decide` leads to. */
export function wires(doc: Doc): Wire[] {
  const nodes = nodesOf(doc);
  const known = new Set(nodes.map(([id]) => id));
  const found: Wire[] = [];
  for (const [id, node] of nodes) {
    const { decide, after, undo: _undo, ...rest } = node;
    for (const from of references(rest)) found.push({ from, to: id, kind: "data" });
    for (const from of list(after)) if (!found.some((wire) => wire.from === from && wire.to === id)) found.push({ from, to: id, kind: "after" });
    for (const from of references(decide)) found.push({ from, to: id, kind: "data" });
    for (const branch of Array.isArray(decide) ? decide : []) {
      for (const to of [...list(record(branch).then), ...list(record(branch).otherwise)]) found.push({ from: id, to, kind: "branch" });
    }
  }
  return found.filter((wire) => known.has(wire.from) && known.has(wire.to) && wire.from !== wire.to);
}

/** The findings that lie within each node of the text: a node reaches from its own line to that of the next. */
export function findingsBy(doc: Doc, text: string, findings: Finding[]): Record<string, Finding[]> {
  const ids = new Set(nodesOf(doc).map(([id]) => id));
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  // A node may have any name, that of something which every object has too.
  const found: Record<string, Finding[]> = Object.create(null);
  for (const finding of findings) {
    const start = decoder.decode(bytes.slice(0, finding.span.start)).length;
    const line = text.indexOf("\n", start);
    const before = text.slice(0, line < 0 ? text.length : line);
    const heads = [...before.matchAll(/^ {1,8}([A-Za-z_][\w-]*):/gm)].map((match) => match[1]!).filter((id) => ids.has(id));
    const id = heads.at(-1);
    if (id) (found[id] ??= []).push(finding);
  }
  return found;
}

/** The pinned place of each node that has one. */
export function pins(doc: Doc): Record<string, [number, number]> {
  const found: Record<string, [number, number]> = Object.create(null);
  for (const [id, at] of Object.entries(record(doc.layout))) {
    if (Array.isArray(at) && at.length === 2) found[id] = [Number(at[0]), Number(at[1])];
  }
  return found;
}

/** A name that no node has yet: `base`, `base-2`, … */
export function freeName(doc: Doc, base: string): string {
  const taken = new Set(nodesOf(doc).map(([id]) => id));
  const clean = base.replace(/[^A-Za-z0-9_]+/g, "_").replace(/^[^A-Za-z]+/, "") || "node";
  if (!taken.has(clean)) return clean;
  let number = 2;
  while (taken.has(`${clean}_${number}`)) number += 1;
  return `${clean}_${number}`;
}

/** What a new node of a kind begins as: something that checks, or says clearly what is missing. */
export function template(kind: Kind, of?: string): NodeDoc {
  switch (kind) {
    case "use":
      return { use: of ?? "core/noop@1" };
    case "run":
      return { run: { script: "echo hello" } };
    case "task":
      return { task: of ?? "module.task" };
    case "workflow":
      return { workflow: of ?? "project/name" };
    case "human":
      return { human: { title: "Is this right?", form: { type: "object", properties: { comment: { type: "string" } } } } };
    case "wait":
      return { wait: { for: "10m" } };
    case "each":
      return { each: { items: [1, 2, 3], do: { use: "core/noop@1", with: { item: "${ item }" } } } };
    case "decide":
      return { decide: [] };
  }
}

/** The edit that a wire from one node to another means when nothing is said of data: it runs after. */
export function wireAfter(doc: Doc, from: string, to: string): Edit | null {
  const node = nodesOf(doc).find(([id]) => id === to)?.[1];
  if (!node || from === to) return null;
  const after = list(node.after);
  if (after.includes(from)) return null;
  return { op: "set", path: pointer("nodes", to, "after"), value: [...after, from] };
}

/** Where a node of a kind keeps the values that it is given; none when it takes no values. */
const GIVEN: Partial<Record<Kind, string[]>> = { use: ["with"], run: ["with"], task: ["with"], workflow: ["with"], human: ["human", "show"], each: ["each", "do"] };

function given(node: NodeDoc | undefined): { path: string[]; values: Record<string, unknown> } | null {
  const kind = node && kindOf(node);
  const path = kind ? GIVEN[kind] : undefined;
  if (!node || !path) return null;
  const inner = path.reduce<Record<string, unknown>>((value, step) => record(value[step]), node);
  if (kind !== "each") return { path, values: inner };
  const body = given(inner);
  return body && { path: [...path, ...body.path], values: body.values };
}

/** The names of what a node is given. None when it takes no values. */
export function inputsOf(doc: Doc, id: string): string[] | null {
  const there = given(nodesOf(doc).find(([known]) => known === id)?.[1]);
  return there && Object.keys(there.values);
}

/** What every person's answer has. */
const DECIDED = ["decision", "by", "at"];

/** What nodes may call: with what each takes and gives. */
export type Callable = { connectors: Connector[]; tasks: TaskView[] };
const NOTHING: Callable = { connectors: [], tasks: [] };

/** What a node says that it gives: itself, or the connector or the task that it calls, or the form that a person fills in. */
export function outputsOf(doc: Doc, id: string, { connectors, tasks }: Callable = NOTHING): string[] {
  const node = nodesOf(doc).find(([known]) => known === id)?.[1];
  if (!node) return [];
  if (node.outputs !== undefined) return Object.keys(record(node.outputs));
  if (node.human !== undefined) return [...DECIDED, ...Object.keys(record(record(record(node.human).form).properties))];
  if (node.task !== undefined) return outputsOfTask(taskOf(node.task, tasks));
  const connector = connectors.find((known) => known.name === String(node.use ?? "").split("@")[0]);
  return Object.keys(connector?.outputs.properties ?? {});
}

/** The names under which a node could be given something: what it is given already, and what it says that it takes. */
export function takesOf(doc: Doc, id: string, { connectors, tasks }: Callable = NOTHING): string[] {
  const node = nodesOf(doc).find(([known]) => known === id)?.[1] ?? {};
  const declared = node.task === undefined ? connectors.find((known) => known.name === String(node.use ?? "").split("@")[0])?.inputs : taskOf(node.task, tasks)?.inputs;
  return [...new Set([...(inputsOf(doc, id) ?? []), ...Object.keys(declared?.properties ?? {})])];
}

/** The edit that a wire of data means: a node reads a field of another, or all of it, as one of its inputs. */
export function wireData(doc: Doc, from: string, field: string | null, to: string, name: string): Edit | null {
  const there = given(nodesOf(doc).find(([known]) => known === to)?.[1]);
  if (!there || from === to) return null;
  return { op: "set", path: pointer("nodes", to, ...there.path, name), value: reading(from, field) };
}

/** Takes what is wired to a node that is to be put in between. */
export function wiredTo(value: unknown, expression: string): unknown {
  if (value === WIRED) return expression;
  if (Array.isArray(value)) return value.map((item) => wiredTo(item, expression));
  if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, wiredTo(item, expression)]));
  return value;
}

/** The edit that takes an `after` away. */
export function unwireAfter(doc: Doc, from: string, to: string): Edit | null {
  const node = nodesOf(doc).find(([id]) => id === to)?.[1];
  const after = list(node?.after);
  if (!after.includes(from)) return null;
  const rest = after.filter((id) => id !== from);
  const path = pointer("nodes", to, "after");
  return rest.length > 0 ? { op: "set", path, value: rest } : { op: "unset", path };
}

/** A field's text as the value it stands for: a number, true, a list, a map, or the text itself. */
export function parseField(text: string): unknown {
  const trimmed = text.trim();
  if (/^-?\d+(\.\d+)?$/.test(trimmed) || /^(true|false|null)$/.test(trimmed) || /^[[{]/.test(trimmed)) {
    try {
      return JSON.parse(trimmed);
    } catch {
      return text;
    }
  }
  return text;
}

export function fieldText(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value, null, typeof value === "object" ? 1 : undefined);
}

/** The named ports of a document, each with its schema: a type may be written as its name alone. */
export function portsOf(ports: unknown): { name: string; schema: Record<string, unknown> }[] {
  return Object.entries(record(ports)).map(([name, schema]) => ({ name, schema: typeof schema === "string" ? { type: schema } : record(schema) }));
}

/** What a new file begins as: a name and no node. */
export const NEW_WORKFLOW = `# What it is for.
workflow: default/new-workflow
nodes: {}
`;
