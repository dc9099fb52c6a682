// The keyboard map: what every key does, in one place, so that the page that lists them cannot forget one.

import { useEffect, useRef } from "react";

export type KeyDef = { keys: string; does: string };
export type KeyGroup = { where: string; keys: KeyDef[] };

export const PLACES = [
  { to: "/", words: "Home", key: "h" },
  { to: "/workflows", words: "Workflows", key: "w" },
  { to: "/runs", words: "Runs", key: "r" },
  { to: "/inbox", words: "Inbox", key: "i" },
  { to: "/sites", words: "Sites", key: "s" },
  { to: "/costs", words: "Costs", key: "c" },
  { to: "/artifacts", words: "Artifacts", key: "t" },
  { to: "/governance", words: "Governance", key: "v" },
  { to: "/audit", words: "Audit", key: "a" },
  { to: "/admin", words: "Admin", key: "d" },
] as const;

export const KEY_MAP: KeyGroup[] = [
  {
    where: "Everywhere",
    keys: [
      { keys: "Ctrl K", does: "search pages, workflows and runs" },
      { keys: "/", does: "the same" },
      { keys: "?", does: "this list" },
      ...PLACES.map((place) => ({ keys: `g ${place.key}`, does: `go to ${place.words}` })),
    ],
  },
  {
    where: "Lists",
    keys: [
      { keys: "j", does: "the next row" },
      { keys: "k", does: "the row before" },
      { keys: "Enter", does: "open the row" },
    ],
  },
  {
    where: "A run",
    keys: [
      { keys: "1 … 6", does: "timeline, graph, table, data, history, what if" },
      { keys: "l", does: "the logs of the chosen action" },
      { keys: "[", does: "the run of this workflow before" },
      { keys: "]", does: "the run of this workflow after" },
      { keys: "Esc", does: "close the action" },
    ],
  },
  {
    where: "The inbox",
    keys: [
      { keys: "j", does: "the next question" },
      { keys: "k", does: "the question before" },
      { keys: "f", does: "to the form" },
      { keys: "a", does: "to Approve; Enter then decides" },
      { keys: "m", does: "to Amend" },
      { keys: "r", does: "to Reject" },
      { keys: "d", does: "to Delegate" },
    ],
  },
  {
    where: "The builder",
    keys: [
      { keys: "Ctrl S", does: "save" },
      { keys: "Ctrl Z", does: "undo" },
      { keys: "Ctrl Shift Z", does: "do it again" },
      { keys: "Ctrl Shift E", does: "to and from the text" },
      { keys: "Arrows", does: "from the chosen node along its wires, or to its neighbours" },
      { keys: "e", does: "to the form of the chosen node" },
      { keys: "w", does: "wire the chosen node to another" },
      { keys: "Delete", does: "remove what is chosen" },
    ],
  },
];

/** Whether somebody is writing: keys are text then. */
export function isWriting(event: KeyboardEvent): boolean {
  return (event.target as HTMLElement).closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [data-editor], [contenteditable]") != null;
}

/** Single keys of a page, while nobody is writing and no dialog is open. */
export function useKeys(keys: Record<string, (event: KeyboardEvent) => void>) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented || isWriting(event) || document.querySelector("dialog[open]")) return;
      latest.current[event.key]?.(event);
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}

/** `j` and `k` go through the rows of a list: each row has a link or a button marked `data-row`. */
export function useRowKeys() {
  const step = (by: number) => (event: KeyboardEvent) => {
    const rows = [...document.querySelectorAll<HTMLElement>("main [data-row]")];
    if (rows.length === 0) return;
    const at = rows.indexOf(document.activeElement as HTMLElement);
    event.preventDefault();
    rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))]?.focus();
  };
  useKeys({ j: step(1), k: step(-1) });
}
