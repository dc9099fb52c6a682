import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import type { WaitView } from "../src/api/types";
import { money, seconds } from "../src/lib/format";
import { between, difference, inAll, inTime, isOpenEnded, WAIT_PLACES, waitWords } from "../src/lib/outlook";
import { explanationOf, termsOf, whyNot } from "../src/pages/run/candidates";
import { supposeOf, withSite } from "../src/pages/run/suppose";

const now = Date.parse("2026-01-01T00:00:00Z");
const wait = (fields: Partial<WaitView>): WaitView => ({ kind: "room", words: "room at onprem", actions: 1, first: "train", since: "2026-01-01T00:00:00Z", ...fields });

describe("what a run waits for", () => {
  test("is a sentence for one action, for many, and for the run itself", () => {
    expect(waitWords(wait({}), now)).toBe("train waits for room at onprem");
    expect(waitWords(wait({ actions: 1200, first: "score[0]" }), now)).toBe("1,200 actions, the first of them score[0], wait for room at onprem");
    expect(waitWords(wait({ kind: "resume", words: "somebody to resume the run", actions: 0, first: "" }), now)).toBe("The run waits for somebody to resume the run");
    expect(waitWords(wait({ kind: "time", words: "2h to pass", until: "2026-01-01T00:05:00Z" }), now)).toBe("train waits for 2h to pass (in 5 m 00 s)");
  });

  test("every kind that the server knows has its place here", () => {
    const described = readFileSync(new URL("../src/api/schema.d.ts", import.meta.url), "utf8");
    const sentence = /(resume, person, time, .* or turn)\./.exec(described)?.[1];
    expect(sentence).toBeDefined();
    const kinds = sentence!.split(/, | or /).sort();
    expect(Object.keys(WAIT_PLACES).sort()).toEqual(kinds);
  });

  test("nobody estimates people, events and rules", () => {
    expect(isOpenEnded([wait({ kind: "room" }), wait({ kind: "retry" })])).toBe(false);
    expect(isOpenEnded([wait({ kind: "room" }), wait({ kind: "person" })])).toBe(true);
  });
});

describe("what is to come", () => {
  test("is a number between its bounds, and only a number where they say no more", () => {
    expect(between([8, 12, 20], seconds)).toBe("12.0 s, between 8.0 s and 20.0 s");
    expect(between([2, 2, 2], seconds)).toBe("2.0 s");
    expect(between(inAll(1, [0.5, 1, 2]), money)).toBe("2.00, between 1.50 and 3.00");
  });

  test("a deadline is to come or has passed", () => {
    expect(inTime("2026-01-01T00:01:30Z", now)).toBe("in 1 m 30 s");
    expect(inTime("2025-12-31T23:59:50Z", now)).toBe("10.0 s ago");
  });

  test("two sides differ by so much, or not", () => {
    expect(difference(1, 3, money, "less", "more")).toBe("2.00 more");
    expect(difference(60, 30, seconds, "earlier", "later")).toBe("30.0 s earlier");
    expect(difference(1, 1, money, "less", "more")).toBe("the same");
  });
});

describe("an explanation", () => {
  const site = { site: "cloud", verdict: "possible", why: "could take it", compute_per_hour: 2e6, egress: 0, bytes_to_bring: 0 };
  test("says of a site that lost what it lost on and what would have to change", () => {
    expect(whyNot(site)).toBe("could take it");
    expect(whyNot({ ...site, lost_on: ["egress", 1_500_000], would: "an hour of it below 1.00 instead of 2.00" })).toBe(
      "could take it; egress costs 1.50 more there; it would be chosen with an hour of it below 1.00 instead of 2.00",
    );
    expect(termsOf({ ...site, compute: 1e6, egress: 2e6, late: 500_000 })).toBe("compute 1.00 + egress 2.00 + lateness 0.50");
  });

  test("is read only where it is one", () => {
    expect(explanationOf(null)).toBeNull();
    expect(explanationOf({ rule: "r" })).toBeNull();
    expect(explanationOf({ rule: "r", sites: [site] })?.sites).toHaveLength(1);
  });
});

describe("a supposition", () => {
  test("takes from an address what makes sense, and nothing else", () => {
    expect(supposeOf(undefined)).toBeUndefined();
    expect(supposeOf({ sites: "all", deadline_s: "soon", without: 3, documents: {} })).toBeUndefined();
    expect(supposeOf({ sites: [{ site: "a", cpu_hour: -1 }, { site: "b", cpu_hour: 2, root: true }, { cpu_hour: 1 }, null], deadline_s: 60, evil: 1 })).toEqual({
      sites: [{ site: "b", cpu_hour: 2 }],
      deadline_s: 60,
    });
    expect(supposeOf({ no_deadline: true, deadline_s: 60 })).toEqual({ no_deadline: true });
    expect(supposeOf({ documents: [{ path: "/etc", text: "kind: tag" }, { text: " " }] })).toEqual({ documents: [{ path: "rules.yaml", text: "kind: tag" }] });
  });

  test("changes one thing of one site at a time, and is nothing again when all is as it was", () => {
    const one = withSite({}, "a", { cpu_hour: 2 });
    const two = withSite(one, "b", { gone: true });
    expect(supposeOf(two)?.sites).toEqual([
      { site: "a", cpu_hour: 2 },
      { site: "b", gone: true },
    ]);
    expect(supposeOf(withSite(withSite(two, "a", { cpu_hour: undefined }), "b", { gone: false }))).toBeUndefined();
  });
});
