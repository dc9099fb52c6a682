// What the server is asked for and has not answered: whatever takes a while is said to be under way, whoever asked for it.

import { useSyncExternalStore } from "react";

export type Work = { since: number; writes: boolean };

/** What is under way, in the order in which it began. */
export class UnderWay {
  private readonly works = new Map<number, Work>();
  private readonly watchers = new Set<() => void>();
  private next = 0;
  private first: Work | undefined;

  /** Notes work until it has an end, good or bad, and gives what comes of it. */
  async during<T>(writes: boolean, work: () => Promise<T>, now = Date.now()): Promise<T> {
    const key = this.next;
    this.next += 1;
    this.works.set(key, { since: now, writes });
    this.tell();
    try {
      return await work();
    } finally {
      this.works.delete(key);
      this.tell();
    }
  }

  /** What changes something before what only reads, and of these what has taken the longest. */
  oldest = (): Work | undefined => this.first;

  watch = (tell: () => void) => {
    this.watchers.add(tell);
    return () => void this.watchers.delete(tell);
  };

  private tell() {
    const all = [...this.works.values()];
    const first = all.find((work) => work.writes) ?? all[0];
    if (first === this.first) return;
    this.first = first;
    this.watchers.forEach((tell) => tell());
  }
}

export const underWay = new UnderWay();

export const useWork = () => useSyncExternalStore(underWay.watch, underWay.oldest);
