// A question to the rules, as it stands in the address.

import type { Question } from "../../api/governance";

const TEXTS = ["workflow", "domain", "work", "from", "operation", "user", "kind", "name"] as const;
const LISTS = ["label", "groups", "roles"] as const;

/** What an address asks; what is no question of ours is left out. */
export function questionOf(value: unknown): Question | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const said = value as Record<string, unknown>;
  const texts = TEXTS.filter((name) => typeof said[name] === "string").map((name) => [name, said[name]]);
  const lists = LISTS.filter((name) => Array.isArray(said[name]) && (said[name] as unknown[]).every((one) => typeof one === "string")).map((name) => [name, said[name]]);
  const question = Object.fromEntries([...texts, ...lists]) as Question;
  return Object.keys(question).length > 0 ? question : undefined;
}
