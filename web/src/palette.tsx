// The command palette: every place, workflow, task and run from the keyboard.

import { useNavigate } from "@tanstack/react-router";
import { Command } from "cmdk";
import { useEffect, useRef, useState, type ReactNode } from "react";

import { useRuns, useTasks, useWorkflows } from "./api/queries";
import { found, matches } from "./lib/finding";
import { PLACES } from "./lib/keys";
import { look } from "./lib/phases";
import { setTheme } from "./lib/theme";

const ITEM = "flex cursor-pointer items-center justify-between gap-4 rounded-md px-3 py-2 data-[selected=true]:bg-sunken";
/** What is listed of each kind: more words leave less. */
const LISTED = 25;

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
        <Command label="Search and go" shouldFilter={false}>
          <Choices done={() => onOpenChange(false)} />
        </Command>
      ) : null}
    </dialog>
  );
}

/** Something that can be chosen: what it is called, what stands beside it, and what it does. */
type Choice = { words: string; beside?: string; act: () => unknown };

function Group({ heading, kind, choices, done }: { heading: string; kind: string; choices: Choice[]; done: () => void }) {
  if (choices.length === 0) return null;
  return (
    <Command.Group heading={heading} className="[&_[cmdk-group-heading]]:px-3 [&_[cmdk-group-heading]]:py-1 [&_[cmdk-group-heading]]:text-faint">
      {choices.map(({ words, beside, act }): ReactNode => (
        <Command.Item
          key={`${words} ${beside ?? ""}`}
          value={`${kind} ${words} ${beside ?? ""}`}
          className={ITEM}
          onSelect={() => {
            done();
            act();
          }}
        >
          <span className="min-w-0 truncate">{words}</span>
          {beside ? <span className="shrink-0 text-faint">{beside}</span> : null}
        </Command.Item>
      ))}
    </Command.Group>
  );
}

/** Places, what is begun there, and how the page looks. */
function usePlaces(): Choice[] {
  const navigate = useNavigate();
  return [
    ...PLACES.map(({ to, words, key }) => ({ words, beside: `g ${key}`, act: () => navigate({ to }) })),
    { words: "Settings", act: () => navigate({ to: "/settings" }) },
    { words: "New workflow", act: () => navigate({ to: "/build", search: {} }) },
    { words: "Ask the rules", act: () => navigate({ to: "/governance", search: { tab: "ask" } }) },
    { words: "Keys", beside: "?", act: () => navigate({ to: ".", search: (old) => ({ ...old, keys: true }) }) },
    ...(["light", "dark", "system"] as const).map((theme) => ({ words: `Theme: ${theme}`, act: () => setTheme(theme) })),
  ];
}

function Choices({ done }: { done: () => void }) {
  const navigate = useNavigate();
  const [words, setWords] = useState("");
  const places = usePlaces().filter((place) => matches(place.words, words));
  const workflows = found(useWorkflows().data ?? [], words, (workflow) => workflow.name, LISTED);
  const tasks = found(useTasks().data ?? [], words, (task) => task.name, LISTED);
  const runs = found(useRuns().data?.pages[0]?.items ?? [], words, (run) => run.name, LISTED);
  const toRun = (run: string) => navigate({ to: "/runs/$run", params: { run } });
  const named = words.trim();
  const isListed = named === "" || runs.some((run) => run.name === named);
  return (
    <>
      <Command.Input autoFocus value={words} onValueChange={setWords} placeholder="Go to a page, a workflow or a run" className="w-full border-b border-line bg-transparent px-4 py-3 outline-none" />
      <Command.List className="max-h-[60vh] overflow-y-auto p-2">
        <Group heading="Go" kind="go" done={done} choices={places} />
        <Group heading="Workflows" kind="workflow" done={done} choices={workflows.map((workflow) => ({ words: workflow.name, beside: `version ${workflow.version}`, act: () => navigate({ to: "/workflow/$", params: { _splat: workflow.name } }) }))} />
        <Group heading="Flyte tasks" kind="task" done={done} choices={tasks.map((task) => ({ words: task.name, beside: `${task.project}, ${task.domain}`, act: () => navigate({ to: "/task/$", params: { _splat: `${task.project}/${task.domain}/${task.name}` } }) }))} />
        <Group heading="Recent runs" kind="run" done={done} choices={runs.map((run) => ({ words: run.name, beside: look(run.phase).words, act: () => toRun(run.name) }))} />
        {/* Older runs are not listed here: who knows the name gets there. */}
        {isListed ? null : <Group heading="By its name" kind="named" done={done} choices={[{ words: `The run ${named}`, act: () => toRun(named) }]} />}
      </Command.List>
    </>
  );
}
