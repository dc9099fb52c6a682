// The state of the builder: one text, and the way it came to be. Every change, drawn or typed, is one step that can be undone.

import { useCallback, useEffect, useReducer, useRef, useState, type RefObject } from "react";

import { ApiError } from "../../api/client";
import { useLink } from "../../api/events";
import { edit as ask, type Beside, type Edit, type Sheet } from "../../api/editing";
import { withToken } from "../../signin";
import { besideKey } from "./past";

/** A token that ended is asked for, and the edit is made with the new one. */
const edit: typeof ask = (...what) => withToken(() => ask(...what));

export type State = {
  /** What the server made of the text last. */
  sheet: Sheet | null;
  /** The text as it stands on the screen, perhaps a moment ahead of the sheet. */
  text: string;
  past: string[];
  future: string[];
  saved: string;
  /** Whether the sheet is that of a text that was typed: more letters are likely to come. */
  typed: boolean;
  /** Why the last edit was not made. */
  refused: string | null;
};

type Change =
  | { is: "opened"; sheet: Sheet; saved: string }
  | { is: "typed"; text: string }
  | { is: "read"; sheet: Sheet }
  | { is: "edited"; sheet: Sheet }
  | { is: "went"; sheet: Sheet; past: string[]; future: string[] }
  | { is: "saved"; text: string }
  | { is: "refused"; why: string | null };

const STEPS_MAX = 1_000;

export function reduce(state: State, change: Change): State {
  switch (change.is) {
    case "opened":
      return { sheet: change.sheet, text: change.sheet.text, past: [], future: [], saved: change.saved, typed: false, refused: null };
    case "typed": {
      // Typing on from what was typed before is one step, until something else happens.
      const typing = state.sheet !== null && state.text !== state.sheet.text;
      const past = typing ? state.past : [...state.past, state.text].slice(-STEPS_MAX);
      return { ...state, text: change.text, past, future: [], refused: null };
    }
    case "read": {
      // While somebody types on, what was found a few letters ago is still worth knowing; after an edit it is not.
      const typing = state.sheet !== null && state.text !== state.sheet.text;
      return change.sheet.text === state.text || typing ? { ...state, sheet: change.sheet, typed: true, refused: null } : state;
    }
    case "edited":
      if (change.sheet.text === state.text) return { ...state, sheet: change.sheet, typed: false, refused: null };
      return { ...state, sheet: change.sheet, text: change.sheet.text, past: [...state.past, state.text].slice(-STEPS_MAX), future: [], typed: false, refused: null };
    case "went":
      return { ...state, sheet: change.sheet, text: change.sheet.text, past: change.past, future: change.future, typed: false, refused: null };
    case "saved":
      return { ...state, saved: change.text };
    case "refused":
      return { ...state, refused: change.why };
  }
}

const EMPTY: State = { sheet: null, text: "", past: [], future: [], saved: "", typed: false, refused: null };

/** What comes of a text, made again when another stands there by then: what was typed meanwhile is not written over. */
export async function onLatest<T>(make: (text: string) => Promise<T>, latest: () => string): Promise<T> {
  for (;;) {
    const text = latest();
    const made = await make(text);
    if (latest() === text) return made;
  }
}

/** The text of the builder. `keep` is told every text that an edit makes, also when the page has been left meanwhile. */
export function useSheet(beside: Beside, keep: RefObject<(text: string) => void>) {
  const [state, change] = useReducer(reduce, EMPTY);
  const now = useRef(state);
  now.current = state;
  const folder = useRef(beside);
  folder.current = beside;
  const say = useCallback((error: unknown) => {
    const problem = error instanceof ApiError ? error.problem : null;
    change({ is: "refused", why: problem ? `${problem.detail}${problem.hint ? ` (${problem.hint})` : ""}` : String(error) });
  }, []);

  // Edits that are being made: until the last is, the picture is behind what was asked for.
  const [making, setMaking] = useState(0);
  const during = useCallback(async (work: () => Promise<void>) => {
    setMaking((count) => count + 1);
    try {
      await work();
    } catch (error) {
      say(error);
    } finally {
      setMaking((count) => count - 1);
    }
  }, [say]);

  const open = useCallback(async (text: string, saved: string) => change({ is: "opened", sheet: await edit(text, [], folder.current), saved }), []);

  // Edits are made one after the other: each on the text that the one before gave.
  const line = useRef(Promise.resolve());
  const apply = useCallback(
    (edits: Edit[]) => {
      if (edits.length === 0) return line.current;
      const before = line.current;
      line.current = during(async () => {
        await before;
        const sheet = await onLatest((text) => edit(text, edits, folder.current), () => now.current.text);
        now.current = { ...now.current, sheet, text: sheet.text };
        change({ is: "edited", sheet });
        keep.current(sheet.text);
      });
      return line.current;
    },
    [during, keep],
  );
  /** Ends when every edit that was asked for is made. */
  const settled = useCallback(() => line.current, []);

  const type = useCallback((text: string) => change({ is: "typed", text }), []);

  // What is typed is read at once, and one reading is under way at a time: the next begins when it ends, with all that was typed meanwhile.
  const reading = useRef(false);
  const read = useCallback(async () => {
    if (reading.current) return;
    reading.current = true;
    try {
      while (now.current.sheet && now.current.sheet.text !== now.current.text) {
        const sheet = await edit(now.current.text, [], folder.current);
        if (now.current.text === sheet.text) now.current = { ...now.current, sheet };
        change({ is: "read", sheet });
      }
    } catch (error) {
      say(error);
    } finally {
      reading.current = false;
    }
  }, [say]);
  // Also when the server is back: what was typed while it was away is not read yet.
  const link = useLink();
  useEffect(() => {
    if (state.sheet && state.sheet.text !== state.text) void read();
  }, [state.text, state.sheet, read, link]);

  // Other files beside it make other findings of the same text.
  const key = besideKey(beside);
  const seen = useRef(key);
  useEffect(() => {
    if (seen.current === key) return;
    seen.current = key;
    const before = line.current;
    line.current = during(async () => {
      await before;
      const sheet = await edit(now.current.text, [], folder.current);
      now.current = { ...now.current, sheet };
      change({ is: "read", sheet });
    });
  }, [key, during]);

  const go = useCallback(
    (direction: "back" | "forward") => {
      const before = line.current;
      line.current = during(async () => {
        await before;
        const target = () => now.current[direction === "back" ? "past" : "future"].at(-1);
        if (target() === undefined) return;
        const sheet = await onLatest((text) => edit(target() ?? text, [], folder.current), () => now.current.text);
        const { past, future, text } = now.current;
        const [from, to] = direction === "back" ? [past, future] : [future, past];
        const rest = from.slice(0, -1);
        const kept = [...to, text];
        const next = { sheet, past: direction === "back" ? rest : kept, future: direction === "back" ? kept : rest };
        now.current = { ...now.current, ...next, text: sheet.text };
        change({ is: "went", ...next });
      });
      return line.current;
    },
    [during],
  );

  const markSaved = useCallback((text: string) => change({ is: "saved", text }), []);
  return { state, busy: making > 0 || state.text !== state.sheet?.text, open, apply, settled, type, go, markSaved };
}
