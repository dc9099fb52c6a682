// What a phase looks like: always a shape and a word, never a colour alone.

export type Tone = "good" | "bad" | "warn" | "busy" | "idle";

type Look = { tone: Tone; glyph: string; words: string };

const LOOKS: Record<string, Look> = {
  queued: { tone: "idle", glyph: "○", words: "queued" },
  waiting_for_resources: { tone: "warn", glyph: "◌", words: "waiting to begin" },
  initializing: { tone: "busy", glyph: "◔", words: "starting" },
  running: { tone: "busy", glyph: "◐", words: "running" },
  succeeded: { tone: "good", glyph: "●", words: "succeeded" },
  failed: { tone: "bad", glyph: "✕", words: "failed" },
  aborted: { tone: "idle", glyph: "⊘", words: "aborted" },
  timed_out: { tone: "bad", glyph: "◷", words: "timed out" },
  paused: { tone: "warn", glyph: "‖", words: "paused" },
  skipped: { tone: "idle", glyph: "–", words: "skipped" },
};

export function look(phase: string): Look {
  return LOOKS[phase] ?? { tone: "idle", glyph: "?", words: phase.replaceAll("_", " ") };
}

/** What an action looks like: one that waits for a person or for time is not busy. */
export function lookOf(action: { phase: string; kind: string; waits_for?: string | null; wait?: { words: string } | null }): Look {
  const awaited = action.waits_for ?? action.wait?.words;
  if (action.phase === "waiting_for_resources" && awaited) return { ...look(action.phase), words: `waits for ${awaited}` };
  if (action.phase !== "running") return look(action.phase);
  if (action.kind === "human") return { tone: "warn", glyph: "◇", words: "waits for a person" };
  if (action.kind === "wait") return { tone: "idle", glyph: "◇", words: "waits" };
  return look(action.phase);
}

/** What a class of failure says to people. */
const FAILURES: Record<string, string> = {
  user: "the step itself failed",
  oom: "out of memory",
  timeout: "it took too long",
  preempted: "its place was taken away",
  node_lost: "its machine was lost",
};

export const failureWords = (kind: string) => FAILURES[kind] ?? kind.replaceAll("_", " ");

const ENDS = new Set(["succeeded", "failed", "aborted", "timed_out", "skipped"]);

export function isOver(phase: string): boolean {
  return ENDS.has(phase);
}

/** The colour of a tone as the browser has it now, for canvases. */
export function toneColour(tone: Tone): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${tone}`).trim();
}
