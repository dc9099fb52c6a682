// What a process wrote, as it writes it, with a search.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";

import { ApiError, segment, stream } from "../../api/client";
import { beingSeen, whenUnseen } from "../../api/events";
import { useSettled } from "../../lib/address";
import { Button } from "../../ui/kit";

/** What is kept of a log on the page; the rest is a download away. */
const TEXT_MAX = 400_000;
/** After so long a log that broke off is asked for again, from where it broke off. */
const AGAIN_MS = 500;

/** The log of an attempt of an action, the first of which has the number 1; it is complete when the action is over and all of it was read. */
export function Logs({ run, path, attempt, over }: { run: string; path: string; attempt: number; over: boolean }) {
  const search = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const which = search.stream ?? "stdout";
  const setWhich = (next: "stdout" | "stderr") => void navigate({ search: (old) => ({ ...old, stream: next === "stderr" ? next : undefined }), replace: true });
  const [text, setText] = useState("");
  const [state, setState] = useState<"reading" | "ended" | "none">("reading");
  const [find, setFind] = useSettled(search.grep ?? "", (next) => void navigate({ search: (old) => ({ ...old, grep: next || undefined }), replace: true }));
  const end = useRef<HTMLPreElement>(null);
  const ended = useRef(over);
  ended.current = over;
  const address = `/api/v1/runs/${segment(run)}/logs?path=${encodeURIComponent(path)}&stream=${which}${attempt > 0 ? `&attempt=${attempt}` : ""}`;
  useEffect(() => {
    const stop = new AbortController();
    setText("");
    setState("reading");
    void follow(address, stop.signal, () => ended.current, (piece) => setText((old) => (old + piece).slice(-TEXT_MAX))).then(
      () => setState("ended"),
      () => (stop.signal.aborted ? undefined : setState("none")),
    );
    return () => stop.abort();
  }, [address]);
  useEffect(() => {
    const pane = end.current;
    // Follows the end unless the reader has scrolled away from it.
    if (pane && pane.scrollHeight - pane.scrollTop - pane.clientHeight < 120) pane.scrollTop = pane.scrollHeight;
  }, [text]);
  const lines = text.split("\n");
  const shown = find ? lines.filter((line) => line.toLowerCase().includes(find.toLowerCase())) : lines;
  return (
    <div>
      <div className="mb-2 flex flex-wrap items-center gap-2">
        {(["stdout", "stderr"] as const).map((name) => (
          <Button key={name} aria-pressed={which === name} className={which === name ? "border-accent" : ""} onClick={() => setWhich(name)}>
            {name}
          </Button>
        ))}
        <input aria-label="Search the log" placeholder="Search" value={find} onChange={(event) => setFind(event.target.value)} className="rounded-md border border-edge bg-surface px-3 py-1" />
        <span className="text-faint" role="status">
          {state === "reading" ? "live" : state === "none" ? "it has no log" : find ? `${shown.length} lines match` : "complete"}
        </span>
        <a href={address} download={`${run}-${path.replaceAll("/", "_")}.${which}.txt`} className="ml-auto text-accent hover:underline">
          download
        </a>
      </div>
      <pre ref={end} className="max-h-80 overflow-auto whitespace-pre-wrap break-all rounded-md bg-sunken p-3 font-mono text-[12.5px] leading-relaxed">
        {shown.join("\n") || (state === "reading" ? " " : "nothing was written")}
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
        if (signal.aborted || error instanceof ApiError) throw error;
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
