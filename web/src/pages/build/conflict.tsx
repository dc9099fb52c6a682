// Somebody else saved the same workflow: both texts, and a choice.

import { useState } from "react";

import { Button } from "../../ui/kit";

export function Conflict({ mine, theirs, take, keep }: { mine: string; theirs: string; take: () => void; keep: () => void }) {
  const [open, setOpen] = useState(false);
  return (
    <div role="alert" className="border-b border-line bg-raised px-4 py-2">
      <div className="flex flex-wrap items-center gap-3">
        <span className="font-medium text-warn">◌ Somebody saved another version meanwhile. Nothing of yours is lost.</span>
        <Button onClick={() => setOpen(!open)} aria-expanded={open}>
          {open ? "Hide both" : "Show both"}
        </Button>
        <Button onClick={take} title="one step, which Undo takes back">
          Take theirs
        </Button>
        <Button onClick={keep} title="saving then writes yours as the next version">
          Keep mine
        </Button>
      </div>
      {open ? (
        <div className="mt-2 grid max-h-80 grid-cols-2 gap-3 overflow-auto font-mono text-small">
          <pre className="whitespace-pre-wrap">{theirs}</pre>
          <pre className="whitespace-pre-wrap">{mine}</pre>
        </div>
      ) : null}
    </div>
  );
}
