// Editing a workflow file: the server makes every edit and every check, so that picture, form and text cannot drift.

import { get, post, segment } from "./client";
import type { components } from "./schema";
import type { JsonSchema, ResourceView } from "./types";

/** An edit as the server takes it. */
export type Edit =
  | { op: "add"; node: string; value: unknown; below?: string }
  | { op: "set"; path: string; value: unknown }
  | { op: "unset"; path: string }
  | { op: "rename"; node: string; to: string }
  | { op: "remove"; node: string }
  | { op: "note"; node: string; text: string }
  | { op: "pin"; node: string; at: [number, number] }
  | { op: "unpin"; node: string };

export type Finding = { code: string; severity: "error" | "warning"; message: string; span: { start: number; end: number }; hint?: string };

/** A file after edits: its text, what is wrong with it, and what it says. */
export type Sheet = {
  text: string;
  notices: { path: string; message: string }[];
  findings: Finding[];
  /** The document as plain data; what a form shows. */
  document: Record<string, unknown>;
  /** The comments above nodes. */
  notes: Record<string, string>;
};

export type Connector = { name: string; version: number; description: string; inputs: JsonSchema; outputs: JsonSchema };

/** What a text may refer to: the files of a registered workflow, and files that are not saved yet, by path, in base64. */
export type Beside = { workflow?: string; files?: Record<string, string> };

export function edit(text: string, edits: Edit[], beside: Beside, signal?: AbortSignal): Promise<Sheet> {
  return post<Sheet>("/api/v1/edit", { text, edits, ...beside, graph: false }, signal);
}

export function connectors(): Promise<Connector[]> {
  return get<Connector[]>("/api/v1/connectors");
}

export type Source = { text: string | null; version: number; files: string[] };

export async function source(name: string): Promise<Source> {
  const row = await get<ResourceView>(`/api/v1/resources/workflow/${name.split("/").map(segment).join("/")}`);
  const files = row.body?.files;
  return { text: typeof row.body?.source === "string" ? row.body.source : null, version: row.version, files: typeof files === "object" && files !== null ? Object.keys(files) : [] };
}

/** A path into a document. */
export function pointer(...steps: string[]): string {
  return steps.map((step) => `/${step.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

export type PlannedNode = components["schemas"]["PlannedNodeView"];
export type Change = components["schemas"]["ChangeView"];

/** The text as a document of its own, with the files of the workflow that it is a version of. */
const document_ = (text: string, { workflow, files }: Beside) => ({ documents: [{ path: `${(workflow ?? "new").split("/").at(-1)}.workflow.yaml`, text }], files: files ?? {}, beside: workflow });

/** Where the nodes of a text would run. */
export function plan(text: string, beside: Beside): Promise<{ nodes: PlannedNode[] }> {
  return post("/api/v1/plan", { source: document_(text, beside) });
}

/** What differs in meaning between two texts. */
export function diff(before: string, after: string, beside: Beside): Promise<Change[]> {
  return post("/api/v1/diff", { before: document_(before, beside), after: document_(after, beside) });
}

export type Scope = components["schemas"]["ScopeView"];
export type TypeView = components["schemas"]["TypeView"];
export type Evaluated = components["schemas"]["EvaluatedView"];
export type Values = { inputs?: unknown; nodes?: Record<string, unknown>; item?: unknown; index?: number };

/** What expressions of a text see, with their types. */
export function scope(text: string, beside: Beside, node?: string, signal?: AbortSignal): Promise<Scope> {
  return post<Scope>("/api/v1/expressions/scope", { text, ...beside, node }, signal);
}

/** What expressions are, where they stand, and what they would give with values. */
export function evaluate(expressions: string[], text: string, beside: Beside, node: string | undefined, values: Values | undefined, signal?: AbortSignal): Promise<Evaluated[]> {
  return post<Evaluated[]>("/api/v1/expressions/evaluate", { expressions, text, ...beside, node, values }, signal);
}

export type Wiring = components["schemas"]["WiringView"];
export type Forbidden = components["schemas"]["ForbiddenView"];
export type Remedy = components["schemas"]["RemedyView"];
export type RefusedStep = components["schemas"]["RefusedStepView"];

/** What stands in a node to be put in between for what is wired to it. */
export const WIRED = "${ wired }";

/** What the rules say about the wires of a text after edits; with `from`, about those that could begin at a node. */
export function wiring(text: string, beside: Beside, from?: string, edits: Edit[] = []): Promise<Wiring> {
  return post<Wiring>("/api/v1/policy/wires", { text, edits, ...beside, from });
}
