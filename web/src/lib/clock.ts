// Whose time is written: that of the reader's zone, or UTC. The other one stands in the tip.

import { useSyncExternalStore } from "react";

export type Clock = "local" | "utc";

const KEY = "tutti.clock";
const CHANGED = "tutti:clock";

export function clock(): Clock {
  return localStorage.getItem(KEY) === "utc" ? "utc" : "local";
}

export function setClock(next: Clock) {
  localStorage.setItem(KEY, next);
  window.dispatchEvent(new Event(CHANGED));
}

/** The choice, followed while it changes. */
export function useClock(): Clock {
  return useSyncExternalStore((tell) => {
    window.addEventListener(CHANGED, tell);
    return () => window.removeEventListener(CHANGED, tell);
  }, clock);
}
