// Who looks: when somebody else goes on in this tab, nothing stays of what the one before them saw or wrote.

import { useSyncExternalStore } from "react";

const PERSON_KEY = "tutti.person";
/** What the builder keeps in the tab begins with this. */
const DRAFTS = "tutti.draft";
/** How a server that wants no token calls everybody: who signs in there next, with the first token, is taken for the same person. */
const ANYBODY = "local";

let times = 0;
const watchers = new Set<() => void>();

/** Calls when somebody else goes on. What is given back ends the watch. */
export function onOtherPerson(forget: () => void): () => void {
  watchers.add(forget);
  return () => void watchers.delete(forget);
}

/** How often somebody else went on: what has this as its key begins anew each time. */
export const useOtherPerson = () => useSyncExternalStore(onOtherPerson, () => times);

function forget() {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith(DRAFTS)) sessionStorage.removeItem(key);
  times += 1;
  watchers.forEach((tell) => tell());
}

/** The server says who calls: whether that is somebody else than before in this tab, also before it was read anew. */
export function notePerson(name: string): boolean {
  const before = sessionStorage.getItem(PERSON_KEY);
  if (name === ANYBODY) sessionStorage.removeItem(PERSON_KEY);
  else sessionStorage.setItem(PERSON_KEY, name);
  const other = before !== null && before !== name;
  if (other) forget();
  return other;
}

/** The same person goes on under another name: with the token that they have just made. */
export const renamePerson = () => sessionStorage.removeItem(PERSON_KEY);

/** Nobody is known any more. */
export function forgetPerson() {
  sessionStorage.removeItem(PERSON_KEY);
  forget();
}
