// Parts of the address as the state of a page: what is looked at can be sent to somebody, and the way back leads where one was.

import { useEffect, useRef, useState } from "react";

/** State that goes to the address when it has not changed for a moment, and is taken from there when that changes by itself, as after going back.
 * Typing and sliding would write more often than a browser lets a page. */
export function useSettled<T>(outer: T, write: (value: T) => void, ms = 250): [T, (value: T) => void] {
  const [value, setValue] = useState(outer);
  const sent = useRef(keyOf(outer));
  const latest = useRef(write);
  latest.current = write;
  const [inside, outside] = [keyOf(value), keyOf(outer)];
  useEffect(() => {
    if (outside === sent.current) return;
    sent.current = outside;
    setValue(outer);
  }, [outside]);
  useEffect(() => {
    if (inside === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = inside;
      latest.current(value);
    }, ms);
    return () => clearTimeout(timer);
  }, [inside]);
  return [value, setValue];
}

const keyOf = (value: unknown) => JSON.stringify(value ?? null);

/** A text of an address; none when it is something else or empty. What somebody wrote there by hand may be all digits. */
export const textOf = (value: unknown) => (typeof value === "string" && value !== "" ? value : typeof value === "number" && Number.isFinite(value) ? String(value) : undefined);

/** Whether something is open that is closed when the address says nothing of it. */
export const yes = (value: unknown) => (value === true ? true : undefined);

/** Two names. */
export function pairOf(value: unknown): [string, string] | undefined {
  return Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === "string" && part !== "") ? (value as [string, string]) : undefined;
}

/** One of some values. */
export const oneOf = <T>(value: unknown, of: readonly T[]) => (of.includes(value as T) ? (value as T) : undefined);

/** A moment, in milliseconds since 1970. */
export const momentOf = (value: unknown) => (typeof value === "number" && Number.isFinite(value) && value > 0 ? Math.round(value) : undefined);

/** A number of something of which the first has the number 1. */
export const countOf = (value: unknown) => (typeof value === "number" && Number.isInteger(value) && value > 0 ? value : undefined);

/** Whole numbers that grow, two by two: ranges of actions, each within the one before. */
export function rangesOf(value: unknown): [number, number][] | undefined {
  if (!Array.isArray(value)) return undefined;
  const found = value.filter((range): range is [number, number] => Array.isArray(range) && range.length === 2 && range.every((end) => Number.isInteger(end) && end >= 0) && range[0] < range[1]);
  return found.length === value.length && found.length > 0 ? found : undefined;
}

/** The part of the whole that is shown, as shares from 0 to 1; none when it is all or makes no sense. */
export function partOf(value: unknown): [number, number] | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined;
  const [from, to] = value as unknown[];
  if (typeof from !== "number" || typeof to !== "number" || !(from >= 0 && to <= 1 && from < to) || (from === 0 && to === 1)) return undefined;
  return [from, to];
}

/** A column and which way: `took` or `-took`. */
export function sortOf(value: unknown, columns: readonly string[]): string | undefined {
  const text = textOf(value);
  return text !== undefined && columns.includes(text.replace(/^-/, "")) ? text : undefined;
}

/** What a click on a column makes of a sort: up, down, as it was. */
export function nextSort(sort: string | undefined, column: string): string | undefined {
  if (sort === column) return `-${column}`;
  return sort === `-${column}` ? undefined : column;
}

/** Sorts by a column; what is alike stays as it was. */
export function sorted<T>(items: T[], sort: string | undefined, value: (item: T, column: string) => string | number): T[] {
  if (!sort) return items;
  const [column, way] = sort.startsWith("-") ? [sort.slice(1), -1] : [sort, 1];
  const keyed = items.map((item, index) => ({ item, index, key: value(item, column) }));
  keyed.sort((a, b) => (typeof a.key === "number" && typeof b.key === "number" ? a.key - b.key : String(a.key).localeCompare(String(b.key))) * way || a.index - b.index);
  return keyed.map(({ item }) => item);
}
