// Numbers for pictures: costs by day, demand to come, load by site. What is drawn is counted here, so that it can be tested without a picture.

import type { CostView, DemandView } from "../api/types";

export type Series = { name: string; values: number[] };

/** Series that are told apart by a colour; the rest is one. */
export const SERIES_MAX = 6;
export const OTHERS = "others";

const DAY_S = 86_400;

export type CostBy = "project" | "workflow" | "site";

/** What was spent on each of so many days up to one, in UTC, by what is asked for: the dearest first, the rest as one. Days without cost are there
 * with nothing. */
export function costByDay(rows: CostView[], by: CostBy, days: number, today: number): { at: number[]; series: Series[] } {
  const last = Math.floor(today / 1000 / DAY_S);
  const at = Array.from({ length: days }, (_, index) => (last - days + 1 + index) * DAY_S);
  const first = last - days + 1;
  const found = new Map<string, number[]>();
  for (const row of rows) {
    const day = Math.floor(Date.parse(`${row.day}T00:00:00Z`) / 1000 / DAY_S) - first;
    if (day < 0 || day >= days) continue;
    const name = row[by] || "without a site";
    if (!found.has(name)) found.set(name, new Array<number>(days).fill(0));
    found.get(name)![day]! += row.cost;
  }
  const series = [...found].map(([name, values]) => ({ name, values })).filter(({ values }) => values.some((value) => value > 0));
  return { at, series: folded(series) };
}

const sum = (values: number[]) => values.reduce((all, value) => all + value, 0);

/** The largest series, and what is left of them as one. */
export function folded(series: Series[]): Series[] {
  const sorted = [...series].sort((a, b) => sum(b.values) - sum(a.values) || a.name.localeCompare(b.name));
  if (sorted.length <= SERIES_MAX) return sorted;
  const shown = sorted.slice(0, SERIES_MAX - 1);
  const rest = sorted.slice(SERIES_MAX - 1);
  return [...shown, { name: `${rest.length} ${OTHERS}`, values: rest[0]!.values.map((_, index) => sum(rest.map(({ values }) => values[index] ?? 0))) }];
}

/** Each series on top of those before it: what is drawn when they are stacked. */
export function stacked(series: Series[]): Series[] {
  const below = new Array<number>(series[0]?.values.length ?? 0).fill(0);
  return series.map(({ name, values }) => ({
    name,
    values: values.map((value, index) => {
      below[index]! += value;
      return below[index]!;
    }),
  }));
}

/** Demand to come, hour by hour from the next one on, with the bounds that nine of ten hours keep. */
export function demandAhead(demand: DemandView, now: number): { at: number[]; low: number[]; mid: number[]; high: number[] } {
  const hour = Math.floor(now / 3_600_000) * 3_600;
  const steps = demand.core_hours;
  return {
    at: steps.map((_, index) => hour + (index + 1) * 3_600),
    low: steps.map((step) => Math.max(0, step[0] ?? 0)),
    mid: steps.map((step) => step[1] ?? 0),
    high: steps.map((step) => step[2] ?? 0),
  };
}

/** The points in time of equal steps: where each begins, in seconds since 1970. */
export function stepsFrom(from: string, stepS: number, count: number): number[] {
  const first = Date.parse(from) / 1000;
  return Array.from({ length: count }, (_, index) => first + index * stepS);
}
