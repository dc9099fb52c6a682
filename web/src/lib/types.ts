// JSON Schemas in words.

import type { JsonSchema } from "../api/types";

/** A type in a few words. */
export function typeWords(schema: JsonSchema): string {
  const type = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type;
  if (type === "array") return `a list of ${schema.items ? typeWords(schema.items) : "anything"}`;
  if (type === "object" && schema.title) return schema.title;
  return `${type ?? "anything"}${schema.format ? ` (${schema.format})` : ""}`;
}
