// What of a run is looked at, as it stands in the address.

import { countOf, momentOf, oneOf, partOf, rangesOf, sortOf, textOf, yes } from "../../lib/address";
import { supposeOf, type Suppose } from "./suppose";

/** The columns that the table of actions can be sorted by. */
export const COLUMNS = ["action", "phase", "kind", "site", "attempts", "took", "cost"] as const;

export type RunSearch = {
  tab?: string;
  /** The action that is open, and what of it is shown. */
  action?: string;
  pane?: string;
  /** The moment that the timeline shows. */
  at?: number;
  /** The part of the time axis that is shown. */
  zoom?: [number, number];
  /** Of a large run: the ranges of actions that were looked into. */
  look?: [number, number][];
  /** The table: words, a phase, a column. */
  find?: string;
  phase?: string;
  sort?: string;
  /** The log: which stream, and what is searched. */
  stream?: "stdout" | "stderr";
  grep?: string;
  /** The attempt whose log is shown; the last when none is named. */
  attempt?: number;
  /** What is supposed. */
  whatif?: Suppose;
  /** The dialog that repeats the run: the whole, or from a node on. */
  again?: true | string;
  /** The dialog that cancels it. */
  cancel?: true;
};

/** What an address says. */
export function runSearch(search: Record<string, unknown>): RunSearch {
  return {
    tab: textOf(search.tab),
    action: textOf(search.action),
    pane: textOf(search.pane),
    at: momentOf(search.at),
    zoom: partOf(search.zoom),
    look: rangesOf(search.look),
    find: textOf(search.find),
    phase: textOf(search.phase),
    sort: sortOf(search.sort, COLUMNS),
    stream: oneOf(search.stream, ["stdout", "stderr"] as const),
    grep: textOf(search.grep),
    attempt: countOf(search.attempt),
    whatif: supposeOf(search.whatif),
    again: search.again === true ? true : textOf(search.again),
    cancel: yes(search.cancel),
  };
}
