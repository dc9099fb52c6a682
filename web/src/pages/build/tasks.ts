// Deployed tasks as nodes of a workflow: what they begin with, and what is known of what they take and give.

import type { JsonSchema, TaskView } from "../../api/types";

/** The task that a node names, whatever its version; of several projects or domains the one that was deployed last, as the server takes it. */
export function taskOf(named: unknown, tasks: TaskView[]): TaskView | undefined {
  const name = String(named ?? "").split("@")[0];
  return tasks.filter((task) => task.name === name).sort((a, b) => b.deployed_at.localeCompare(a.deployed_at))[0];
}

/** A value to begin with: of the type that is wanted, so that the file checks at once. */
function blank(schema: JsonSchema): unknown {
  if (schema.default !== undefined) return schema.default;
  if (schema.enum && schema.enum.length > 0) return schema.enum[0];
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case "integer":
    case "number":
      return 0;
    case "boolean":
      return false;
    case "array":
      return [];
    case "object":
      return Object.fromEntries((schema.required ?? []).map((name) => [name, blank(schema.properties?.[name] ?? {})]));
    case "string":
      return schema.format === "date-time" ? "2026-01-01T00:00:00Z" : "";
    default:
      return null;
  }
}

/** What a node that calls a task begins as: with all that it has to be given. */
export function templateOf(task: TaskView): { task: string; with: Record<string, unknown> } {
  const needed = task.inputs?.required ?? [];
  return { task: task.name, with: Object.fromEntries(needed.map((name) => [name, blank(task.inputs?.properties?.[name] ?? {})])) };
}

/** What a task says that it gives. */
export const outputsOfTask = (task: TaskView | undefined): string[] => Object.keys(task?.outputs?.properties ?? {});

/** A value as a document has it: what looks like an expression in it is meant as it stands. */
export function literal(value: unknown): unknown {
  if (typeof value === "string") return value.replaceAll("${", () => "$${");
  if (Array.isArray(value)) return value.map(literal);
  if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, literal(part)]));
  return value;
}

/** The one node by which a task is run by itself. */
export const CALL = "call";

/** A file with nothing but a call of a task. */
export function callOf(task: TaskView, values: Record<string, unknown>): string {
  return JSON.stringify({ workflow: `${task.project}/run-a-task`, nodes: { [CALL]: { task: `${task.name}@${task.version}`, with: literal(values) } } });
}
