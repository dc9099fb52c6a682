import { readdirSync, readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { compare, decode, readEntry } from "../src/lib/entry";
import { fromHex } from "../src/lib/merkle";

const GOLDEN = new URL("../../crates/engine/tests/golden/", import.meta.url);
/** Entries as every version of the codec wrote them. */
const golden = readdirSync(GOLDEN)
  .filter((name) => name.endsWith(".journal"))
  .flatMap((name) => readFileSync(new URL(name, GOLDEN), "utf8").split("\n"))
  .filter((line) => /^[0-9a-f]+$/.test(line))
  .map(fromHex);

describe("an entry of the log", () => {
  test("is read whatever version wrote it, each of a kind that is known", () => {
    expect(golden.length).toBeGreaterThan(40);
    for (const bytes of golden) {
      const entry = readEntry(bytes);
      expect(entry?.event, String(bytes[1])).toBeTruthy();
      // What tells who did it is a name, and what tells of an action is its number.
      if (entry!.tells.principal !== undefined) expect(typeof entry!.tells.principal, entry!.event).toBe("string");
      if ("action" in entry!.tells) expect(typeof entry!.tells.action, entry!.event).toBe("number");
      if ("site" in entry!.tells) expect(typeof entry!.tells.site, entry!.event).toBe("string");
    }
  });

  test("that is none is refused", () => {
    for (const broken of ["", "82", "8200", "62c328", "0000", "ff", "9f".repeat(80)]) expect(() => decode(fromHex(broken)), broken).toThrow();
  });
});

describe("what is told of an entry", () => {
  // [16, [[7, 3, "ann", …, "approve"]]]: ann decided about action 3 of run 7.
  const bytes = fromHex("8210818507036361 6e6e f6 67617070726f7665".replaceAll(" ", ""));
  const at = Date.parse("2026-01-02T03:04:05.678Z") * 1000 + 999;
  const told = { event: "human_decided", data: { at: "2026-01-02T03:04:05.678Z", run: 7, action: 3, principal: "ann" } };

  test("is proved when it is what the bytes say", () => {
    expect(compare(told, bytes, at)).toEqual({ differs: [], unread: [] });
  });

  test("is not, when it names somebody else, another time, run, action or kind, or nobody", () => {
    const differs = (change: Record<string, unknown>, event = told.event) => compare({ event, data: { ...told.data, ...change } }, bytes, at).differs;
    expect(differs({ principal: "bob" })).toEqual(["its principal is ann, not bob"]);
    expect(differs({ principal: undefined })).toEqual(["its principal is ann, not nothing"]);
    expect(differs({ action: 4 })).toHaveLength(1);
    expect(differs({ run: 8 })).toHaveLength(1);
    expect(differs({ at: "2026-01-02T03:04:05.679Z" })).toHaveLength(1);
    expect(differs({}, "human_seen")).toContain("its kind is human_decided, not human_seen");
  });

  test("is said to be unread where the bytes were not asked for it", () => {
    expect(compare({ ...told, data: { ...told.data, mood: "glad" } }, bytes, at).unread).toEqual(["mood"]);
  });
});
