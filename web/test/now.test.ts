import { afterEach, describe, expect, test } from "vitest";

import { heard, isFinal, now, thereAt } from "../src/lib/now";

const SECOND = 1_000;
/** The date that a server writes: whole seconds. */
const dated = (at: number) => new Date(at).toUTCString();

afterEach(() => {
  // The clock of this test is right again.
  const at = Date.now();
  heard(dated(at), at, at);
});

describe("the time of the server", () => {
  test("is that of the browser as long as the two can be the same", () => {
    for (const [sent, there, came] of [[0, 300, 500], [900, 1_050, 1_100], [10_000, 14_999, 15_000]] as const) heard(dated(there), sent, came);
    expect(thereAt(5_000)).toBe(5_000);
  });

  test("is another when the browser's clock is wrong, to the second, and whichever way", () => {
    for (const by of [3_600 * SECOND, -3_600 * SECOND, 5 * SECOND]) {
      for (const at of [100_000, 160_400, 220_900]) heard(dated(at + by), at - 20, at + 20);
      expect(Math.abs(thereAt(0) - by)).toBeLessThanOrEqual(SECOND + 40);
    }
  });

  test("stays as it is known when an answer says none", () => {
    const before = now() - Date.now();
    heard(null, 0, 0);
    heard("yesterday", 0, 0);
    expect(Math.abs(now() - Date.now() - before)).toBeLessThan(SECOND);
  });

  test("says whether an answer holds all of a moment: what a wrong clock takes for the past may be yet to come", () => {
    const hour = 3_600 * SECOND;
    const at = 1_000 * hour;
    // This browser is an hour ahead.
    heard(dated(at - hour), at, at);
    expect(isFinal(at - 1, at)).toBe(false);
    expect(isFinal(at - hour - 5 * SECOND, at)).toBe(true);
    // A moment that is hardly over may still get entries.
    expect(isFinal(at - hour, at)).toBe(false);
  });
});
