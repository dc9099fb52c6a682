// The command palette: every place, workflow and recent run from the keyboard.

import { useNavigate } from "@tanstack/react-router";
import { Command } from "cmdk";
import { useEffect, useRef } from "react";

import { useRuns, useWorkflows } from "./api/queries";
import { PLACES } from "./lib/keys";
import { look } from "./lib/phases";
import { setTheme } from "./lib/theme";

const ITEM = "flex cursor-pointer items-center justify-between gap-4 rounded-md px-3 py-2 data-[selected=true]:bg-sunken";

export function Palette({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  // The browser's own dialog: it keeps the focus inside and closes on Escape, and needs no inline style.
  return (
    <dialog
      ref={dialog}
      aria-label="Search and go"
      onClose={() => onOpenChange(false)}
      onClick={(event) => (event.target === dialog.current ? onOpenChange(false) : undefined)}
      className="mx-auto mt-24 w-[min(640px,92vw)] overflow-hidden rounded-lg border border-line bg-raised text-ink shadow-xl backdrop:bg-black/40"
    >
      {open ? (
        <Command label="Search and go">
          <Choices done={() => onOpenChange(false)} />
        </Command>
      ) : null}
    </dialog>
  );
}

function Choices({ done }: { done: () => void }) {
  const navigate = useNavigate();
  const runs = useRuns().data?.pages[0]?.items ?? [];
  const workflows = useWorkflows().data ?? [];
  const then = (act: () => unknown) => () => {
    done();
    act();
  };
  return (
    <>
      <Command.Input autoFocus placeholder="Go to a page, a workflow or a run" className="w-full border-b border-line bg-transparent px-4 py-3 outline-none" />
      <Command.List className="max-h-[60vh] overflow-y-auto p-2">
        <Command.Empty className="px-3 py-6 text-center text-soft">Nothing of that name among pages, workflows and recent runs.</Command.Empty>
        <Command.Group heading="Go" className="[&_[cmdk-group-heading]]:px-3 [&_[cmdk-group-heading]]:py-1 [&_[cmdk-group-heading]]:text-faint">
          {[...PLACES.map((place) => place.to), "/settings" as const].map((to) => (
            <Command.Item key={to} value={`go ${to}`} className={ITEM} onSelect={then(() => navigate({ to }))}>
              {to === "/" ? "Home" : to.slice(1).replace(/^./, (first) => first.toUpperCase())}
            </Command.Item>
          ))}
          {(["light", "dark", "system"] as const).map((theme) => (
            <Command.Item key={theme} value={`theme ${theme}`} className={ITEM} onSelect={then(() => setTheme(theme))}>
              Theme: {theme}
            </Command.Item>
          ))}
        </Command.Group>
        <Command.Group heading="Workflows" className="[&_[cmdk-group-heading]]:px-3 [&_[cmdk-group-heading]]:py-1 [&_[cmdk-group-heading]]:text-faint">
          {workflows.map((workflow) => (
            <Command.Item
              key={workflow.name}
              value={`workflow ${workflow.name}`}
              className={ITEM}
              onSelect={then(() => navigate({ to: "/workflow/$", params: { _splat: workflow.name } }))}
            >
              {workflow.name} <span className="text-faint">version {workflow.version}</span>
            </Command.Item>
          ))}
        </Command.Group>
        <Command.Group heading="Recent runs" className="[&_[cmdk-group-heading]]:px-3 [&_[cmdk-group-heading]]:py-1 [&_[cmdk-group-heading]]:text-faint">
          {runs.map((run) => (
            <Command.Item key={run.number} value={`run ${run.name}`} className={ITEM} onSelect={then(() => navigate({ to: "/runs/$run", params: { run: run.name } }))}>
              {run.name} <span className="text-faint">{look(run.phase).words}</span>
            </Command.Item>
          ))}
        </Command.Group>
      </Command.List>
    </>
  );
}
