// Live changes: one stream of the journal's events for the whole app says which views are stale; the views themselves are read again through
// their own doors. After it was lost, as over a restart of the server, everything that is looked at is read again.

import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";

import { ApiError, onToken, stream } from "./client";
import { beginning, positionOf } from "./position";

export type LiveEvent = { id: string; name: string; data: Record<string, unknown> };
/** Whether the stream is up; it can be refused to whoever looks. */
export type Link = "connecting" | "live" | "lost" | "refused";

/** Splits the text of an event stream into events. Give it chunks as they come; it keeps what is not whole yet. */
export class EventParser {
  private rest = "";

  push(chunk: string): LiveEvent[] {
    this.rest += chunk.replaceAll("\r\n", "\n");
    const blocks = this.rest.split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.flatMap((block) => parseBlock(block) ?? []);
  }
}

function parseBlock(block: string): LiveEvent | null {
  const event = { id: "", name: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const field = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (field === "id") event.id = value;
    else if (field === "event") event.name = value;
    else if (field === "data") event.data += value;
  }
  if (!event.data) return null;
  try {
    return { id: event.id, name: event.name, data: JSON.parse(event.data) as Record<string, unknown> };
  } catch {
    return null;
  }
}

let link: Link = "connecting";
const watchers = new Set<() => void>();

function setLink(next: Link) {
  if (next === link) return;
  link = next;
  watchers.forEach((tell) => tell());
}

/** Whether the stream is up. */
export function useLink(): Link {
  return useSyncExternalStore(
    (tell) => {
      watchers.add(tell);
      return () => watchers.delete(tell);
    },
    () => link,
  );
}

/** Views are read again at most this often, however many events come. */
const SETTLE_MS = 250;
/** After a reading as long as it took goes by, or longer: over a slow way, or of a large run, views are read less often. That many look at
 * once is no reason: the server reads once for all of them. */
const REST_MS_MAX = 5_000;
const RETRY_MS = [500, 1_000, 2_000, 5_000];

/** Keeps what is on the screen fresh for as long as the component lives; `refused` is told when the server refuses to say what happens. */
export function useLiveUpdates(refused: (error: unknown) => void) {
  const queries = useQueryClient();
  useEffect(() => {
    const stop = new AbortController();
    void follow(queries, refused, stop.signal);
    return () => stop.abort();
  }, [queries, refused]);
}

/** Ends when another token is used, or nobody looks any more. */
const anotherToken = (signal: AbortSignal) =>
  new Promise<void>((used) => {
    const done = () => {
      forget();
      used();
    };
    const forget = onToken(done);
    signal.addEventListener("abort", done, { once: true });
  });

/** A browser holds six connections to a server for all of its tabs together. A tab that nobody has seen for so long lets its stream go, and
 * catches up when it is seen again. */
const UNSEEN_MS = 10_000;

const isSeen = () => document.visibilityState !== "hidden";

/** Ends when the page is seen. */
export const beingSeen = () =>
  new Promise<void>((seen) => {
    const look = () => {
      if (!isSeen()) return;
      document.removeEventListener("visibilitychange", look);
      seen();
    };
    document.addEventListener("visibilitychange", look);
    look();
  });

/** Calls when the page has not been seen for a while. What is given back ends the watch. */
export function whenUnseen(call: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(timer);
    if (!isSeen()) timer = setTimeout(call, UNSEEN_MS);
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

async function follow(queries: QueryClient, refused: (error: unknown) => void, signal: AbortSignal) {
  const stale = new Stale(queries);
  for (let tries = 0; !signal.aborted; tries += 1) {
    await beingSeen();
    const unseen = new AbortController();
    const done = whenUnseen(() => unseen.abort());
    // What somebody else may see is not told to who signs in after them.
    const forget = onToken(() => unseen.abort());
    try {
      const response = await stream("/api/v1/events", {}, AbortSignal.any([signal, unseen.signal]));
      setLink("live");
      // Whatever happened while nobody listened is on the screen after one look at everything: always after the stream was lost, and at first
      // when something happened between what was read and its beginning.
      const position = positionOf(response);
      const readAgain = () => void queries.invalidateQueries();
      if (tries > 0 || position === undefined) {
        beginning.forget();
        readAgain();
      }
      // An answer that was under way, and is older than this stream, still comes.
      if (position !== undefined) beginning.begins(position, readAgain);
      tries = 0;
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const event of parser.push(value)) stale.note(event);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && [401, 403].includes(error.problem.status)) {
        setLink("refused");
        refused(error);
        await anotherToken(signal);
        continue;
      }
    } finally {
      done();
      forget();
    }
    setLink(unseen.signal.aborted ? "connecting" : "lost");
    if (!unseen.signal.aborted) await new Promise((wake) => setTimeout(wake, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]));
  }
}

/** Collects which views are stale, and has them read again together. */
class Stale {
  private readonly queries: QueryClient;
  private readonly keys = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(queries: QueryClient) {
    this.queries = queries;
  }

  note(event: LiveEvent) {
    for (const key of staleBy(event.name)) this.keys.add(key);
    this.timer ??= setTimeout(() => void this.flush(), SETTLE_MS);
  }

  /** One reading is under way at a time: another would call off the first, and on a busy server none would ever end. */
  private async flush() {
    const keys = [...this.keys];
    this.keys.clear();
    const began = performance.now();
    await Promise.allSettled(keys.map((key) => this.queries.invalidateQueries({ queryKey: [key] })));
    const rest = restAfter(performance.now() - began);
    // What came meanwhile is read after that, the last of it too.
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.keys.size > 0) void this.flush();
    }, rest);
  }
}

/** How long after a reading the next may begin, by how long it took, in milliseconds. */
export function restAfter(took: number): number {
  return Math.min(Math.max(SETTLE_MS, took), REST_MS_MAX);
}

/** The views that an event makes stale, by the first part of their query key. */
export function staleBy(name: string): string[] {
  // Every event is an entry of the log.
  return ["log", ...viewsOf(name)];
}

function viewsOf(name: string): string[] {
  if (name.startsWith("site_")) return ["sites"];
  // A workflow, a rule, a token, a project with its budget.
  if (name.startsWith("resource_")) return ["resources", "policy", "runs", "past"];
  if (name.startsWith("human_")) return ["approvals", "runs", "run"];
  if (name === "actions_placed" || name === "attempt_finished") return ["runs", "run", "sites"];
  // From here on it is what runs at its site.
  if (name === "attempt_started" || name === "actions_parked") return ["run", "sites"];
  // A running action may ask for others too: a question of a program is one.
  if (name === "actions_opened" || name === "child_opened" || name === "action_finished" || name === "cancel_requested") return ["runs", "run", "approvals"];
  // What was does not change, but what of it is kept and may be seen does.
  if (name === "bodies_pruned" || name === "data_erased") return ["runs", "run", "past", "approvals", "storage"];
  if (name === "artifacts_labelled") return ["runs", "run", "past"];
  if (name === "output_kept") return ["runs", "run"];
  if (name === "epoch_began") return ["health", "sites"];
  if (name.startsWith("run_")) return ["runs", "run", "approvals", "sites"];
  return ["run"];
}
