// What is to come, in words: intervals, what is waited for, and where one goes to do something about it.

import type { WaitView } from "../api/types";
import { money, seconds } from "./format";

/** A number with the bounds that nine of ten futures keep. */
export type Three = readonly number[];

/** `12.0 s, between 8.0 s and 20.0 s`; without bounds where they say no more than the number. */
export function between(three: Three, write: (value: number) => string): string {
  const [low = 0, mid = 0, high = 0] = three;
  const [least, middle, most] = [write(low), write(mid), write(high)];
  return least === most ? middle : `${middle}, between ${least} and ${most}`;
}

/** What a run comes to when what it has cost is added to what is to come. */
export function inAll(soFar: number, toCome: Three): Three {
  return toCome.map((value) => value + soFar);
}

/** When a moment that is to come, or has passed, is or was. */
export function inTime(at: string, now: number): string {
  const left = (Date.parse(at) - now) / 1000;
  return left >= 0 ? `in ${seconds(left)}` : `${seconds(-left)} ago`;
}

/** Where one goes to see or to change what is waited for, by kind; none where nothing but time helps. */
export const WAIT_PLACES: Record<string, { to: "/inbox" | "/sites" | "/governance" | "/admin"; words: string } | null> = {
  resume: null,
  person: { to: "/inbox", words: "decide" },
  time: null,
  event: null,
  signal: null,
  retry: null,
  worker: null,
  inputs: { to: "/sites", words: "sites" },
  room: { to: "/sites", words: "sites" },
  cheaper: { to: "/sites", words: "sites" },
  budget: { to: "/admin", words: "projects" },
  quota: { to: "/admin", words: "projects" },
  closed: { to: "/sites", words: "sites" },
  fit: { to: "/sites", words: "sites" },
  policy: { to: "/governance", words: "ask the rules" },
  turn: null,
};

/** What a wait is about, as a sentence. */
export function waitWords(wait: WaitView, now: number): string {
  const who = wait.kind === "resume" ? "The run" : wait.actions === 1 ? wait.first : `${wait.actions.toLocaleString()} actions, the first of them ${wait.first},`;
  const verb = wait.kind !== "resume" && wait.actions !== 1 ? "wait" : "waits";
  const until = wait.until ? ` (${inTime(wait.until, now)})` : "";
  return `${who} ${verb} for ${wait.words}${until}`;
}

/** Whether what is to come hangs on somebody or something that nobody can estimate. */
export function isOpenEnded(waits: WaitView[]): boolean {
  return waits.some((wait) => ["resume", "person", "event", "signal", "worker", "policy", "fit", "closed", "budget"].includes(wait.kind));
}

/** How much cheaper or dearer, sooner or later. */
export function difference(before: number, after: number, write: (value: number) => string, less: string, more: string): string {
  const by = after - before;
  if (write(Math.abs(by)) === write(0)) return "the same";
  return `${write(Math.abs(by))} ${by < 0 ? less : more}`;
}

/** The sums that stand beside each other in a what-if, in words. */
export function sums(before: { cost: Three; ends_in_s: Three }, after: { cost: Three; ends_in_s: Three }): string[] {
  return [
    `it would cost ${difference(before.cost[1] ?? 0, after.cost[1] ?? 0, money, "less", "more")}`,
    `it would end ${difference(before.ends_in_s[1] ?? 0, after.ends_in_s[1] ?? 0, seconds, "earlier", "later")}`,
  ];
}
