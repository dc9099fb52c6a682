// The state of the builder: one text, and the way it came to be. Every change, drawn or typed, is one step that can be undone.

import { useCallback, useEffect, useReducer, useRef } from "react";

import { ApiError } from "../../api/client";
import { edit, type Edit, type Sheet } from "../../api/editing";

export type State = {
  /** What the server made of the text last. */
  sheet: Sheet | null;
  /** The text as it stands on the screen, perhaps a moment ahead of the sheet. */
  text: string;
  past: string[];
  future: string[];
  saved: string;
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

const STEPS_MAX = 200;

export function reduce(state: State, change: Change): State {
  switch (change.is) {
    case "opened":
      return { sheet: change.sheet, text: change.sheet.text, past: [], future: [], saved: change.saved, refused: null };
    case "typed": {
      // Typing on from what was typed before is one step, until something else happens.
      const typing = state.sheet !== null && state.text !== state.sheet.text;
      const past = typing ? state.past : [...state.past, state.text].slice(-STEPS_MAX);
      return { ...state, text: change.text, past, future: [], refused: null };
    }
    case "read":
      return change.sheet.text === state.text ? { ...state, sheet: change.sheet } : state;
    case "edited":
      if (change.sheet.text === state.text) return { ...state, sheet: change.sheet, refused: null };
      return { ...state, sheet: change.sheet, text: change.sheet.text, past: [...state.past, state.text].slice(-STEPS_MAX), future: [], refused: null };
    case "went":
      return { ...state, sheet: change.sheet, text: change.sheet.text, past: change.past, future: change.future, refused: null };
    case "saved":
      return { ...state, saved: change.text };
    case "refused":
      return { ...state, refused: change.why };
  }
}

const EMPTY: State = { sheet: null, text: "", past: [], future: [], saved: "", refused: null };
/** After this pause in typing the text is read. */
const PAUSE_MS = 20;

export function useSheet(workflow: string | undefined) {
  const [state, change] = useReducer(reduce, EMPTY);
  const now = useRef(state);
  now.current = state;
  const say = (error: unknown) => {
    const problem = error instanceof ApiError ? error.problem : null;
    change({ is: "refused", why: problem ? `${problem.detail}${problem.hint ? ` (${problem.hint})` : ""}` : String(error) });
  };

  const open = useCallback(
    async (text: string, saved: string) => change({ is: "opened", sheet: await edit(text, [], workflow), saved }),
    [workflow],
  );

  // Edits are made one after the other: each on the text that the one before gave.
  const line = useRef(Promise.resolve());
  const apply = useCallback(
    (edits: Edit[]) => {
      if (edits.length === 0) return line.current;
      line.current = line.current.then(async () => {
        try {
          const sheet = await edit(now.current.text, edits, workflow);
          now.current = { ...now.current, sheet, text: sheet.text };
          change({ is: "edited", sheet });
        } catch (error) {
          say(error);
        }
      });
      return line.current;
    },
    [workflow],
  );
  /** Ends when every edit that was asked for is made. */
  const settled = useCallback(() => line.current, []);

  const type = useCallback((text: string) => change({ is: "typed", text }), []);

  useEffect(() => {
    if (!state.sheet || state.sheet.text === state.text) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      edit(state.text, [], workflow, stop.signal).then((sheet) => change({ is: "read", sheet }), (error: unknown) => (stop.signal.aborted ? undefined : say(error)));
    }, PAUSE_MS);
    // What is typed meanwhile is read instead: no two readings are under way.
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [state.text, state.sheet, workflow]);

  const go = useCallback(
    async (direction: "back" | "forward") => {
      const { past, future, text } = now.current;
      const [from, to] = direction === "back" ? [past, future] : [future, past];
      const target = from.at(-1);
      if (target === undefined) return;
      const rest = from.slice(0, -1);
      const kept = [...to, text];
      const sheet = await edit(target, [], workflow);
      change({ is: "went", sheet, past: direction === "back" ? rest : kept, future: direction === "back" ? kept : rest });
    },
    [workflow],
  );

  const markSaved = useCallback((text: string) => change({ is: "saved", text }), []);
  return { state, open, apply, settled, type, go, markSaved };
}
