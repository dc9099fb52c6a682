// Numbers as people read them. Money, time and bytes are written the same way everywhere.

export function seconds(value: number): string {
  if (value < 0.0005) return "0 s";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} m ${Math.floor(value % 60).toString().padStart(2, "0")} s`;
  if (value < 86_400) return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60).toString().padStart(2, "0")} m`;
  const hours = Math.floor((value % 86_400) / 3600);
  return `${Math.floor(value / 86_400)} d${hours > 0 ? ` ${hours} h` : ""}`;
}

export function money(value: number): string {
  if (value === 0) return "0";
  if (Math.abs(value) < 0.01) return value.toPrecision(2).replace(/e-(\d+)$/, "·10⁻$1");
  return value.toFixed(2);
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let amount = value;
  while (amount >= 1024 && at < units.length - 1) {
    amount /= 1024;
    at += 1;
  }
  return `${at === 0 || amount >= 100 ? Math.round(amount) : amount.toFixed(1)} ${units[at]}`;
}

/** How long ago, in one unit. */
export function ago(at: string, now: number): string {
  const passed = (now - Date.parse(at)) / 1000;
  if (passed < 5) return "just now";
  if (passed < 60) return `${Math.floor(passed)} s ago`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86_400) return `${Math.floor(passed / 3600)} h ago`;
  return `${Math.floor(passed / 86_400)} d ago`;
}

/** A point in time in the reader's zone and in UTC, for hovering over. */
export function moment(at: string): string {
  const date = new Date(at);
  return `${date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })} (${date.toISOString().slice(0, 19)}Z)`;
}

/** A point in time to the second, in the reader's zone or in UTC. */
export function stamp(at: string, clock: "local" | "utc"): string {
  const date = new Date(at);
  return clock === "utc" ? `${date.toISOString().slice(0, 19).replace("T", " ")}Z` : date.toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
}

/** The most-used steps of a time axis, in milliseconds, for a span. */
export function tickStep(spanMs: number, ticks: number): number {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 864e5];
  return steps.find((step) => spanMs / step <= ticks) ?? 864e5 * Math.ceil(spanMs / 864e5 / ticks);
}

const UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** A duration as workflows write it (`30m`, `1h30m`) in milliseconds; a number is seconds. */
export function durationMs(text: string | number): number {
  if (typeof text === "number") return text * 1000;
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)].reduce((sum, [, amount, unit]) => sum + Number(amount) * UNITS[unit!]!, 0);
}
