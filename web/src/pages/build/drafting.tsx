// The draft of the builder while it is open: found when it opens, kept at every change, said where it was taken up again.

import { useCallback, useEffect, useRef, useState } from "react";

import { Ago, Button } from "../../ui/kit";
import { draftOf, dropDraft, keepDraft, keepFiles, type Draft } from "./draft";
import type { Held } from "./files";

type Base = { text: string; version: number };

/** The draft with which the builder opens, if there is one. */
export function useFoundDraft(workflow: string | undefined, server: Base) {
  return useState(() => draftOf(sessionStorage, workflow, server))[0];
}

/** Keeps what is not saved, and has the browser ask before the tab is closed on it. Gives what keeps a text at once: an edit that is
 * answered after the page was left is kept too. */
export function useDraft(workflow: string | undefined, base: Base, text: string | undefined, held: Held) {
  const lacks = useRef(false);
  const known = useRef({ workflow, base, held });
  known.current = { workflow, base, held };
  const keep = useCallback((latest: string) => {
    const { workflow, base, held } = known.current;
    if (latest === base.text && Object.keys(held).length === 0) dropDraft(sessionStorage, workflow);
    else keepDraft(sessionStorage, workflow, { text: latest, base, at: new Date().toISOString(), lacks: lacks.current || undefined });
  }, []);
  const changed = text !== undefined && (text !== base.text || Object.keys(held).length > 0);
  useEffect(() => {
    if (text === undefined) return;
    lacks.current = !keepFiles(sessionStorage, workflow, held);
  }, [workflow, held, text === undefined]);
  useEffect(() => (text === undefined ? undefined : keep(text)), [keep, workflow, base, text, held]);
  useEffect(() => {
    if (!changed) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [changed]);
  return keep;
}

/** Says that what is shown is a draft, and offers what the server has. */
export function TakenUp({ draft, fresh, onKeep, onLeave }: { draft: Draft; fresh: boolean; onKeep: () => void; onLeave: () => void }) {
  return (
    <div role="status" className="flex flex-wrap items-center gap-3 border-b border-line bg-raised px-4 py-2">
      <span>
        <span className="font-medium text-warn">◌ This is your draft of <Ago at={draft.at} />. The server does not have it.</span>
        {draft.lacks ? " The files that were added did not fit into it: add them again." : ""}
      </span>
      <Button onClick={onKeep}>Keep the draft</Button>
      <Button onClick={onLeave} title="one step, which Undo takes back">
        {fresh ? "Begin anew" : "Drop the draft"}
      </Button>
    </div>
  );
}
