import { afterEach, expect, test, vi } from "vitest";

import { forgetPerson, notePerson, onOtherPerson } from "../src/lib/person";

/** A tab with what is kept in it. */
function tab(kept: Record<string, string>) {
  const storage = { ...kept } as Record<string, unknown>;
  const hidden = (name: string, value: unknown) => Object.defineProperty(storage, name, { value });
  hidden("getItem", (key: string) => storage[key] ?? null);
  hidden("setItem", (key: string, value: string) => void (storage[key] = value));
  hidden("removeItem", (key: string) => void delete storage[key]);
  vi.stubGlobal("sessionStorage", storage);
  return storage;
}

afterEach(() => vi.unstubAllGlobals());

test("of whoever was here before nothing stays when somebody else goes on, and everything when it is the same person", () => {
  const kept = { "tutti.draft.demo/a": "text", "tutti.draft-files.demo/a": "files", "tutti.token": "t" };
  const storage = tab(kept);
  let told = 0;
  const done = onOtherPerson(() => (told += 1));
  expect(notePerson("ann")).toBe(false);
  expect(notePerson("ann")).toBe(false);
  expect([Object.keys(storage).filter((key) => key.startsWith("tutti.draft")).length, told]).toEqual([2, 0]);
  expect(notePerson("bob")).toBe(true);
  expect([Object.keys(storage).filter((key) => key.startsWith("tutti.draft")).length, told]).toEqual([0, 1]);
  forgetPerson();
  expect(told).toBe(2);
  expect(notePerson("ann")).toBe(false);
  done();
});

test("whoever signs in with the first token of an open server goes on with what was written there, and the other way round nothing stays", () => {
  const storage = tab({ "tutti.draft.demo/a": "text" });
  expect([notePerson("local"), notePerson("ann")]).toEqual([false, false]);
  expect(storage["tutti.draft.demo/a"]).toBe("text");
  expect(notePerson("local")).toBe(true);
  expect(storage["tutti.draft.demo/a"]).toBeUndefined();
});
