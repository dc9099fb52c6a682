// Live changes: one stream of the journal's events for the whole app. It goes on where it stopped, over restarts of the server too, and
// says which views are stale; the views themselves are read again through their own doors.

import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";

import { stream } from "./client";

export type LiveEvent = { id: string; name: string; data: Record<string, unknown> };
export type Link = "connecting" | "live" | "lost";

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
/** After a reading this many times as long as it took goes by: a server that many look at, or a large run, is read less often. */
const REST = 4;
const REST_MS_MAX = 5_000;
const RETRY_MS = [500, 1_000, 2_000, 5_000];

/** Keeps what is on the screen fresh for as long as the component lives. */
export function useLiveUpdates() {
  const queries = useQueryClient();
  useEffect(() => {
    const stop = new AbortController();
    void follow(queries, stop.signal);
    return () => stop.abort();
  }, [queries]);
}

async function follow(queries: QueryClient, signal: AbortSignal) {
  const stale = new Stale(queries);
  let last = "";
  for (let tries = 0; !signal.aborted; tries += 1) {
    try {
      const response = await stream("/api/v1/events", last ? { "last-event-id": last } : {}, signal);
      setLink("live");
      // Whatever happened while nobody listened is on the screen after one look at everything.
      if (tries > 0) void queries.invalidateQueries();
      tries = 0;
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const event of parser.push(value)) {
          last = event.id || last;
          stale.note(event);
        }
      }
    } catch {
      if (signal.aborted) return;
    }
    setLink("lost");
    await new Promise((wake) => setTimeout(wake, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]));
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
  return Math.min(Math.max(SETTLE_MS, took * REST), REST_MS_MAX);
}

/** The views that an event makes stale, by the first part of their query key. */
export function staleBy(name: string): string[] {
  if (name.startsWith("site_")) return ["sites"];
  if (name.startsWith("resource_")) return ["resources"];
  if (name.startsWith("human_")) return ["approvals", "runs", "run"];
  if (name === "actions_placed" || name === "attempt_finished") return ["runs", "run", "sites"];
  // From here on it is what runs at its site.
  if (name === "attempt_started") return ["run", "sites"];
  if (name === "actions_opened" || name === "action_finished" || name === "cancel_requested") return ["runs", "run", "approvals"];
  if (name.startsWith("run_")) return ["runs", "run", "approvals", "sites"];
  return ["run"];
}
