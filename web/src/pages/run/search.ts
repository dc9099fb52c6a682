// What of a run is looked at, as it stands in the address.

import { momentOf, oneOf, partOf, rangesOf, sortOf, textOf } from "../../lib/address";
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
  stream?: "stderr";
  grep?: string;
  /** What is supposed. */
  whatif?: Suppose;
  /** The dialog that repeats the run: the whole, or from a node on. */
  again?: true | string;
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
    stream: oneOf(search.stream, ["stderr"] as const),
    grep: textOf(search.grep),
    whatif: supposeOf(search.whatif),
    again: search.again === true ? true : textOf(search.again),
  };
}
