import { describe, expect, test } from "vitest";

import { draftOf, dropDraft, keepDraft, keepFiles, type Store } from "../src/pages/build/draft";

/** A store that takes so many characters in all, as a browser's does. */
function store(room = Infinity): Store {
  const kept = new Map<string, string>();
  return {
    getItem: (key) => kept.get(key) ?? null,
    removeItem: (key) => void kept.delete(key),
    setItem: (key, value) => {
      const others = [...kept].reduce((sum, [other, text]) => sum + (other === key ? 0 : text.length), 0);
      if (others + value.length > room) throw new Error("no room");
      kept.set(key, value);
    },
  };
}

const server = { text: "workflow: a\n", version: 3 };
const draft = { text: "workflow: b\n", base: server, at: "2026-01-01T00:00:00Z" };

describe("a draft", () => {
  test("is found again with its files, for its workflow only", () => {
    const tab = store();
    keepDraft(tab, "demo/a", draft);
    keepFiles(tab, "demo/a", { "lib/x.py": "eA==" });
    expect(draftOf(tab, "demo/a", server)).toEqual({ draft, held: { "lib/x.py": "eA==" } });
    expect(draftOf(tab, "demo/b", server)).toBeUndefined();
    expect(draftOf(tab, undefined, server)).toBeUndefined();
  });

  test("that says what the server has is none", () => {
    const tab = store();
    keepDraft(tab, "demo/a", { ...draft, text: server.text });
    expect(draftOf(tab, "demo/a", server)).toBeUndefined();
    keepFiles(tab, "demo/a", { x: "eA==" });
    expect(draftOf(tab, "demo/a", server)?.held).toEqual({ x: "eA==" });
  });

  test("keeps what it was made from, so that a newer version is seen as a conflict", () => {
    const tab = store();
    keepDraft(tab, "demo/a", draft);
    expect(draftOf(tab, "demo/a", { text: "workflow: c\n", version: 4 })?.draft.base).toEqual(server);
  });

  test("of a server that was made anew is held against what that one has", () => {
    const tab = store();
    keepDraft(tab, "demo/a", draft);
    const anew = { text: "workflow: c\n", version: 1 };
    expect(draftOf(tab, "demo/a", anew)?.draft.base).toEqual(anew);
  });

  test("whose files do not fit keeps its text, and no older files", () => {
    const tab = store(400);
    keepDraft(tab, "demo/a", draft);
    expect(keepFiles(tab, "demo/a", { x: "a" })).toBe(true);
    expect(keepFiles(tab, "demo/a", { x: "a".repeat(400) })).toBe(false);
    expect(draftOf(tab, "demo/a", server)).toEqual({ draft, held: {} });
  });

  test("that somebody else wrote into the storage is none", () => {
    const tab = store();
    tab.setItem("tutti.draft.demo/a", "{");
    expect(draftOf(tab, "demo/a", server)).toBeUndefined();
    tab.setItem("tutti.draft.demo/a", '{"text":1}');
    expect(draftOf(tab, "demo/a", server)).toBeUndefined();
  });

  test("is gone when it is dropped", () => {
    const tab = store();
    keepDraft(tab, undefined, draft);
    keepFiles(tab, undefined, { x: "a" });
    dropDraft(tab, undefined);
    keepDraft(tab, undefined, draft);
    expect(draftOf(tab, undefined, server)?.held).toEqual({});
  });
});
