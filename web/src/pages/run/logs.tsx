// What a process wrote, as it writes it, with a search.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";

import { ApiError, segment, stream } from "../../api/client";
import { beingSeen, whenUnseen } from "../../api/events";
import { useSettled } from "../../lib/address";
import type { WithheldView } from "../../api/types";
import { withToken } from "../../signin";
import { Button, Failed } from "../../ui/kit";
import { Save } from "../../ui/save";
import { Withheld } from "../../ui/withheld";

/** What is kept of a log on the page; the rest is a download away. */
const TEXT_MAX = 400_000;
/** After so long a log that broke off is asked for again, from where it broke off. */
const AGAIN_MS = 500;

/** What of a log is looked at. */
export type LogLook = {
  stream: "stdout" | "stderr";
  onStream: (next: "stdout" | "stderr") => void;
  /** The attempt, the first of which has the number 1; the last when none is named. */
  attempt?: number;
  onAttempt: (next: number | undefined) => void;
  words: string;
  onWords: (next: string) => void;
};

/** What of a log is looked at, in the address of its run. Why something failed stands in what it wrote as errors: that comes first then. */
export function useLogAddress(failed: boolean): LogLook {
  const first = failed ? "stderr" : "stdout";
  const { stream = first, attempt, grep } = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const [words, onWords] = useSettled(grep ?? "", (next) => void navigate({ search: (old) => ({ ...old, grep: next || undefined }), replace: true }));
  return {
    stream,
    onStream: (next) => void navigate({ search: (old) => ({ ...old, stream: next === first ? undefined : next }), replace: true }),
    attempt,
    onAttempt: (next) => void navigate({ search: (old) => ({ ...old, attempt: next }), replace: true }),
    words,
    onWords,
  };
}

/** What of a log is looked at where it is a part of something else. */
export function useLogLook(): LogLook {
  const [stream, onStream] = useState<"stdout" | "stderr">("stdout");
  const [attempt, onAttempt] = useState<number>();
  const [words, onWords] = useState("");
  return { stream, onStream, attempt, onAttempt, words, onWords };
}

type Props = { run: string; path: string; attempts: number; over: boolean; look: LogLook; withheld?: WithheldView | null };
type State = { is: "reading" | "ended" | "none" } | { is: "failed"; error: unknown };

/** The log of an attempt of an action; it is complete when the action is over and all of it was read. */
export function Logs({ run, path, attempts, over, look, withheld }: Props) {
  const { stream: which, words } = look;
  const [text, setText] = useState("");
  const [state, setState] = useState<State>({ is: "reading" });
  const end = useRef<HTMLPreElement>(null);
  const attempt = look.attempt !== undefined && look.attempt <= attempts ? look.attempt : attempts;
  const ended = useRef(over);
  ended.current = over || attempt < attempts;
  const address = `/api/v1/runs/${segment(run)}/logs?path=${encodeURIComponent(path)}&stream=${which}${attempt > 0 ? `&attempt=${attempt}` : ""}`;
  const hidden = withheld != null;
  useEffect(() => {
    if (hidden) return;
    const stop = new AbortController();
    const read = () => {
      setText("");
      setState({ is: "reading" });
      return follow(address, stop.signal, () => ended.current, (piece) => setText((old) => (old + piece).slice(-TEXT_MAX)));
    };
    void withToken(read).then(
      () => setState({ is: "ended" }),
      (error: unknown) => {
        if (stop.signal.aborted) return;
        const nothing = error instanceof ApiError && error.problem.status === 404;
        setState(nothing ? { is: "none" } : { is: "failed", error });
      },
    );
    return () => stop.abort();
  }, [address, hidden]);
  useEffect(() => {
    const pane = end.current;
    // Follows the end unless the reader has scrolled away from it.
    if (pane && pane.scrollHeight - pane.scrollTop - pane.clientHeight < 120) pane.scrollTop = pane.scrollHeight;
  }, [text]);
  if (withheld) return <Withheld what={withheld} />;
  const lines = text.split("\n");
  const shown = words ? lines.filter((line) => line.toLowerCase().includes(words.toLowerCase())) : lines;
  const matching = `${shown.length.toLocaleString()} ${shown.length === 1 ? "line matches" : "lines match"}`;
  const stands = state.is === "reading" ? "live" : state.is === "none" ? "it has no log" : words ? matching : "complete";
  return (
    <div>
      <div className="mb-2 flex flex-wrap items-center gap-2">
        {attempts > 1 ? (
          <select aria-label="Attempt" value={attempt} onChange={(event) => look.onAttempt(Number(event.target.value) === attempts ? undefined : Number(event.target.value))} className="min-h-8 rounded-md border border-edge bg-surface px-2">
            {Array.from({ length: attempts }, (_, at) => (
              <option key={at} value={at + 1}>
                attempt {at + 1}
              </option>
            ))}
          </select>
        ) : null}
        {(["stdout", "stderr"] as const).map((name) => (
          <Button key={name} aria-pressed={which === name} className={which === name ? "border-accent" : ""} onClick={() => look.onStream(name)}>
            {name}
          </Button>
        ))}
        <input aria-label="Search the log" placeholder="Search" value={words} onChange={(event) => look.onWords(event.target.value)} className="rounded-md border border-edge bg-surface px-3 py-1" />
        {state.is === "failed" ? null : (
          <span className="text-faint" role="status">
            {stands}
          </span>
        )}
        <span className="ml-auto">
          <Save from={address} as={`${run}-${path.replaceAll("/", "_")}.${which}.txt`} className="text-accent hover:underline">
            download
          </Save>
        </span>
      </div>
      {state.is === "failed" ? <Failed error={state.error} /> : null}
      <pre ref={end} tabIndex={0} aria-label={`${which} of ${path}`} className="max-h-80 overflow-auto whitespace-pre-wrap break-all rounded-md bg-sunken p-3 font-mono text-log leading-relaxed">
        {shown.join("\n") || (state.is === "reading" ? " " : "nothing was written")}
      </pre>
    </div>
  );
}

/** Reads a log to its end. A server that goes away and comes back is asked for the rest: nothing is missed, and nothing comes twice. A tab
 * that nobody has seen for a while lets its connection go, and asks for the rest when it is seen again. */
async function follow(address: string, signal: AbortSignal, isOver: () => boolean, take: (piece: string) => void) {
  // A letter may be cut where the log breaks off.
  const letters = new TextDecoder();
  let at = 0;
  for (;;) {
    await beingSeen();
    const unseen = new AbortController();
    const done = whenUnseen(() => unseen.abort());
    try {
      const over = isOver();
      const open = await stream(`${address}&follow=true&offset=${at}`, {}, AbortSignal.any([signal, unseen.signal])).catch((error: unknown) => {
        // What stands in between may not reach the server for a while.
        if (signal.aborted || (error instanceof ApiError && error.problem.status < 500)) throw error;
        return undefined;
      });
      if (open) {
        // Older parts may be gone.
        at = Number(open.headers.get("tutti-log-offset") ?? at);
        const whole = await pieces(open, (bytes) => {
          at += bytes.length;
          take(letters.decode(bytes, { stream: true }));
        });
        if (whole && over) return;
      }
    } finally {
      done();
    }
    if (signal.aborted) throw new Error("nobody looks any more");
    if (!unseen.signal.aborted) await new Promise((wake) => setTimeout(wake, AGAIN_MS));
  }
}

/** Whether all of it came. */
async function pieces(response: Response, take: (bytes: Uint8Array) => void): Promise<boolean> {
  const reader = response.body!.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return true;
      take(value);
    }
  } catch {
    return false;
  }
}
