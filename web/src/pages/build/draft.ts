// What is not saved yet is kept in this tab: leaving the builder, reading the page anew or signing in again loses nothing of it.

import type { Held } from "./files";

export type Draft = {
  text: string;
  /** What it was made from: the text and the version as they were on the server then. */
  base: { text: string; version: number };
  /** When it was last changed. */
  at: string;
  /** Whether files that were held did not fit, and have to be brought again. */
  lacks?: boolean;
};

/** The part of the browser's storage that a draft needs. */
export type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const keyOf = (workflow: string | undefined) => `tutti.draft.${workflow ?? ""}`;
const filesOf = (workflow: string | undefined) => `tutti.draft-files.${workflow ?? ""}`;

function parsed<T>(text: string | null): T | undefined {
  try {
    return text === null ? undefined : (JSON.parse(text) as T);
  } catch {
    return undefined;
  }
}

/** Whether it was kept: a browser gives a tab some megabytes and no more. */
function put(store: Store, key: string, value: unknown): boolean {
  try {
    store.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    store.removeItem(key);
    return false;
  }
}

export function keepDraft(store: Store, workflow: string | undefined, draft: Draft): boolean {
  return put(store, keyOf(workflow), draft);
}

/** Keeps the files that are held beside the text. Files that do not fit are left out, and no older ones stay in their place. */
export function keepFiles(store: Store, workflow: string | undefined, held: Held): boolean {
  if (Object.keys(held).length > 0) return put(store, filesOf(workflow), held);
  store.removeItem(filesOf(workflow));
  return true;
}

export function dropDraft(store: Store, workflow: string | undefined) {
  store.removeItem(keyOf(workflow));
  store.removeItem(filesOf(workflow));
}

/** The draft of a workflow and its files; none when it says nothing that the server does not have. */
export function draftOf(store: Store, workflow: string | undefined, server: { text: string; version: number }): { draft: Draft; held: Held } | undefined {
  const draft = parsed<Draft>(store.getItem(keyOf(workflow)));
  const held = parsed<Held>(store.getItem(filesOf(workflow))) ?? {};
  if (typeof draft?.text !== "string" || typeof draft.base?.text !== "string" || typeof draft.base.version !== "number") return undefined;
  if (draft.text === server.text && Object.keys(held).length === 0) return undefined;
  // A server that knows fewer versions than the draft has been made anew: what it has is what the draft is held against.
  return { draft: draft.base.version > server.version ? { ...draft, base: server } : draft, held };
}
