// What an entry of the audit log says, read from its own bytes: an entry is a CBOR item, as the reference page on the audit log describes it. What
// a server says of an entry is held against this.

type Item = number | bigint | string | boolean | null | Uint8Array | Item[] | Map<Item, Item>;

/** Reads one CBOR item (RFC 8949); what stands behind it is an error. */
export function decode(bytes: Uint8Array): Item {
  const reader = new Reader(bytes);
  const item = reader.item();
  if (reader.at !== bytes.length) throw new Error("something stands behind the entry");
  return item;
}

const DEPTH_MAX = 64;

class Reader {
  at = 0;
  private depth = 0;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  item(): Item {
    if (this.depth >= DEPTH_MAX) throw new Error("the entry is too deep");
    this.depth += 1;
    try {
      return this.within();
    } finally {
      this.depth -= 1;
    }
  }

  private within(): Item {
    const head = this.take(1)[0]!;
    const [major, low] = [head >> 5, head & 31];
    if (major === 7) return this.simple(low);
    // Strings, lists and maps of no stated length end with a break.
    if (low === 31) return this.open(major);
    const count = this.count(low);
    switch (major) {
      case 0:
        return count;
      case 1:
        return typeof count === "number" ? -1 - count : -1n - count;
      case 2:
        return this.take(Number(count)).slice();
      case 3:
        return new TextDecoder("utf-8", { fatal: true }).decode(this.take(Number(count)));
      case 4:
        return this.items(Number(count));
      case 5:
        return this.pairs(Number(count));
      default:
        // A tag says what is meant by the item behind it.
        return this.item();
    }
  }

  private items(count: number): Item[] {
    const items: Item[] = [];
    for (let left = count; left > 0; left -= 1) items.push(this.item());
    return items;
  }

  private pairs(count: number): Map<Item, Item> {
    const pairs = new Map<Item, Item>();
    for (let left = count; left > 0; left -= 1) pairs.set(this.item(), this.item());
    return pairs;
  }

  private open(major: number): Item {
    const parts: Item[] = [];
    while (this.bytes[this.at] !== 0xff) parts.push(this.item());
    this.at += 1;
    if (major === 3) return parts.join("");
    if (major === 4) return parts;
    if (major === 5) return new Map(parts.flatMap((key, index) => (index % 2 === 0 ? [[key, parts[index + 1] ?? null] as [Item, Item]] : [])));
    if (major === 2) return Uint8Array.from(parts.flatMap((part) => [...(part as Uint8Array)]));
    throw new Error("not an item of an entry");
  }

  private simple(low: number): Item {
    if (low === 20 || low === 21) return low === 21;
    if (low === 22 || low === 23) return null;
    if (low === 26) return this.number(4, (at) => this.view.getFloat32(at));
    if (low === 27) return this.number(8, (at) => this.view.getFloat64(at));
    throw new Error("not an item of an entry");
  }

  private count(low: number): number | bigint {
    if (low < 24) return low;
    if (low === 24) return this.take(1)[0]!;
    if (low === 25) return this.number(2, (at) => this.view.getUint16(at));
    if (low === 26) return this.number(4, (at) => this.view.getUint32(at));
    if (low !== 27) throw new Error("not an item of an entry");
    const whole = this.number(8, (at) => this.view.getBigUint64(at));
    return whole <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(whole) : whole;
  }

  private number<T>(size: number, read: (at: number) => T): T {
    const at = this.at;
    this.take(size);
    return read(at);
  }

  private take(size: number): Uint8Array {
    if (!(size >= 0 && this.at + size <= this.bytes.length)) throw new Error("the entry breaks off");
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }
}

/** What lies at a place of an item: fields by their number. */
const at = (item: Item | undefined, ...path: number[]): Item | undefined => path.reduce<Item | undefined>((found, step) => (Array.isArray(found) ? found[step] : undefined), item);
const list = (item: Item | undefined): Item[] => (Array.isArray(item) ? item : []);

const PHASES = ["queued", "waiting_for_resources", "initializing", "running", "succeeded", "failed", "aborted", "timed_out", "paused", "skipped"];

type Field = (record: Item) => unknown;
const field =
  (...path: number[]): Field =>
  (record) =>
    at(record, ...path) ?? undefined;
const phase =
  (n: number): Field =>
  (record) =>
    PHASES[Number(at(record, n))];
const named =
  (kind: number, name: number): Field =>
  (record) =>
    `${String(at(record, kind))} ${String(at(record, name))}`;
const each =
  (n: number, ...path: number[]): Field =>
  (record) =>
    list(at(record, n)).map((item) => at(item, ...path));

const [ACTION, BY] = [{ action: field(1) }, { principal: field(1) }];
const SITE_BY = { site: field(0), principal: field(1) };
/** Says that something was taken over only where it was. */
const taken: Field = (record) => (at(record, 5) === true ? true : undefined);
const repeats: Field = (record) => at(record, 9, 1, 0);

/** The kinds of entries by their number: the name, and what of it is told, by the numbers of its fields. The numbers are never used for anything else. */
const KINDS: Record<number, [name: string, tells: Record<string, Field>]> = {
  0: ["run_submitted", { name: field(1), principal: field(7), repeats, reused: (record) => (repeats(record) === undefined ? undefined : each(10, 0)(record)), reused_items: (record) => (Array.isArray(at(record, 18)) ? list(at(record, 18)).length : undefined) }],
  1: ["actions_opened", { paths: each(1, 7) }],
  2: ["nodes_skipped", {}],
  3: ["actions_placed", { site: field(1), actions: each(3, 0) }],
  4: ["actions_parked", { actions: each(1) }],
  5: ["attempt_started", ACTION],
  6: ["attempt_finished", { ...ACTION, phase: phase(3) }],
  7: ["retry_due", {}],
  8: ["action_finished", { ...ACTION, phase: phase(2), reused: taken }],
  9: ["report_ignored", {}],
  10: ["cancel_requested", {}],
  11: ["run_cancel_requested", BY],
  12: ["run_failing", {}],
  13: ["run_paused", BY],
  14: ["run_resumed", BY],
  15: ["run_finished", { phase: phase(1) }],
  16: ["human_decided", { ...ACTION, principal: field(2) }],
  17: ["human_escalated", ACTION],
  18: ["signal_received", { name: field(1), principal: field(3) }],
  19: ["recall_asked", {}],
  20: ["recall_missed", {}],
  21: ["compensation_started", {}],
  22: ["output_kept", ACTION],
  23: ["child_opened", { paths: (record) => [at(record, 1, 7)] }],
  24: ["action_stop_requested", ACTION],
  30: ["run_planned", {}],
  31: ["run_labelled", {}],
  32: ["artifacts_labelled", {}],
  33: ["secrets_released", { ...ACTION, site: field(3) }],
  34: ["run_began", BY],
  40: ["epoch_began", { version: field(1) }],
  41: ["site_registered", { site: field(0, 0), principal: field(1) }],
  42: ["site_removed", SITE_BY],
  43: ["site_cordoned", SITE_BY],
  44: ["site_uncordoned", SITE_BY],
  45: ["site_drained", SITE_BY],
  46: ["site_health_changed", { site: field(0), healthy: field(1) }],
  47: ["resource_applied", { name: named(0, 1), version: field(2), principal: field(4) }],
  48: ["resource_deleted", { name: named(0, 1), principal: field(2) }],
  49: ["trigger_fired", { name: field(0) }],
  50: ["bodies_pruned", { principal: field(2) }],
  51: ["data_erased", { runs: each(0), principal: field(2) }],
  55: ["pool_sized", { site: field(0), pieces: field(1), an_hour: field(2), why: field(4) }],
  75: ["human_delegated", { ...ACTION, principal: field(2), to: (record) => [...list(at(record, 3)), ...list(at(record, 4))] }],
  76: ["human_seen", { ...ACTION, principal: field(2) }],
  80: ["ticket_issued", { action: field(1, 0, 0, 1), site: field(1, 0, 2) }],
  81: ["egress_decided", { ...ACTION, site: field(3) }],
  82: ["network_used", { ...ACTION, site: field(3) }],
};

export type Entry = { event: string; run?: number; tells: Record<string, unknown> };

/** What the bytes of an entry say; none of a kind that this page does not know. */
export function readEntry(bytes: Uint8Array): Entry | undefined {
  const item = decode(bytes);
  const number = Number(at(item, 0));
  const record = at(item, 1, 0);
  const kind = Object.hasOwn(KINDS, number) ? KINDS[number] : undefined;
  if (!kind || !Array.isArray(record)) return undefined;
  const run = number < 40 || number >= 60 ? Number(at(record, 0)) : number === 49 ? (at(record, 2) ?? undefined) : undefined;
  return { event: kind[0], run: run === undefined ? undefined : Number(run), tells: Object.fromEntries(Object.entries(kind[1]).map(([name, tell]) => [name, tell(record)])) };
}

const same = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);
const said = (value: unknown) => (value === undefined ? "nothing" : typeof value === "string" ? value : JSON.stringify(value));

/** What a page was told of an entry: its kind and its data, of which `at` is the time. */
export type Told = { event: string; data: Record<string, unknown> };

/** Holds what was told of an entry against what its bytes and its time say: what is not the same, and what the bytes were not asked for. */
export function compare(told: Told, bytes: Uint8Array, atMicroseconds: number): { differs: string[]; unread: string[] } {
  const entry = readEntry(bytes);
  const { at: time, run, ...rest } = told.data;
  const differs: string[] = [];
  const hold = (name: string, is: unknown, claimed: unknown) => (same(is, claimed) ? undefined : differs.push(`its ${name} is ${said(is)}, not ${said(claimed)}`));
  hold("time", new Date(Math.floor(atMicroseconds / 1000)).toISOString(), typeof time === "string" && !Number.isNaN(Date.parse(time)) ? new Date(Date.parse(time)).toISOString() : time);
  if (!entry) return { differs, unread: ["kind", ...Object.keys(rest)] };
  hold("kind", entry.event, told.event);
  hold("run", entry.run, run);
  const unread = Object.keys(rest).filter((name) => !Object.hasOwn(entry.tells, name));
  // Also what was left out of the line: that somebody did it, for one.
  for (const [name, is] of Object.entries(entry.tells)) hold(name, is, Object.hasOwn(rest, name) ? rest[name] : undefined);
  return { differs, unread };
}
