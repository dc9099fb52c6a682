// What a process wrote, as it writes it, with a search.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";

import { segment, stream } from "../../api/client";
import { useSettled } from "../../lib/address";
import { Button } from "../../ui/kit";

/** What is kept of a log on the page; the rest is a download away. */
const TEXT_MAX = 400_000;

export function Logs({ run, path }: { run: string; path: string }) {
  const search = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const which = search.stream ?? "stdout";
  const setWhich = (next: "stdout" | "stderr") => void navigate({ search: (old) => ({ ...old, stream: next === "stderr" ? next : undefined }), replace: true });
  const [text, setText] = useState("");
  const [state, setState] = useState<"reading" | "ended" | "none">("reading");
  const [find, setFind] = useSettled(search.grep ?? "", (next) => void navigate({ search: (old) => ({ ...old, grep: next || undefined }), replace: true }));
  const end = useRef<HTMLPreElement>(null);
  const address = `/api/v1/runs/${segment(run)}/logs?path=${encodeURIComponent(path)}&stream=${which}`;
  useEffect(() => {
    const stop = new AbortController();
    setText("");
    setState("reading");
    void read(`${address}&follow=true`, stop.signal, (piece) => setText((old) => (old + piece).slice(-TEXT_MAX))).then(
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

async function read(address: string, signal: AbortSignal, take: (piece: string) => void) {
  const response = await stream(address, {}, signal);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    take(value);
  }
}
