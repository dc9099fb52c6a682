// "Test this step": one node runs with values that were pinned here, or that an earlier run gave.

import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";

import { get, post, segment } from "../../api/client";
import { neighbourOptions, useAction, useRun } from "../../api/queries";
import type { ActionView, RunView } from "../../api/types";
import { isOver } from "../../lib/phases";
import { onOtherPerson } from "../../lib/person";
import { Dialog } from "../../ui/dialog";
import { Button, Failed, Phase, Said, Working } from "../../ui/kit";
import { Value } from "../../ui/value";
import { Logs, useLogLook } from "../run/logs";
import { inputsRead, references, type Doc, type NodeDoc } from "./document";

/** What was pinned, by workflow and node: kept while the app is open, and nowhere else. */
const PINNED = new Map<string, Record<string, string>>();
onOtherPerson(() => PINNED.clear());
const RUNS_SHOWN = 20;

type Props = { text: string; doc: Doc; workflow?: string; id: string; node: NodeDoc; onClose: () => void };

export function TestStep({ text, doc, workflow, id, node, onClose }: Props) {
  const key = `${workflow ?? ""} ${id}`;
  const { undo: _undo, after: _after, if: _if, once: _once, ...runs } = node;
  const nodes = useMemo(() => references(runs), [node]);
  const inputs = useMemo(() => inputsRead(runs), [node]);
  const [values, setValues] = useState<Record<string, string>>(() => PINNED.get(key) ?? defaults(doc, inputs));
  useEffect(() => void PINNED.set(key, values), [key, values]);
  const earlier = useQuery({ ...neighbourOptions(workflow ?? ""), enabled: workflow !== undefined });
  const wrong = [...nodes.map((name) => `nodes.${name}`), ...inputs.map((name) => `inputs.${name}`)].filter((name) => parsed(values[name]) === undefined);
  const part = (prefix: string) => Object.fromEntries([...nodes, ...inputs].flatMap((name) => (values[`${prefix}.${name}`] === undefined ? [] : [[name, parsed(values[`${prefix}.${name}`])]])).filter(([name]) => (prefix === "nodes" ? nodes : inputs).includes(name as string)));
  const test = useMutation({ mutationFn: () => post<RunView>("/api/v1/test-step", { text, workflow, node: id, inputs: part("inputs"), outputs: part("nodes") }) });
  const take = useMutation({
    mutationFn: async (run: string) => {
      const whole = inputs.length > 0 ? await get<RunView>(`/api/v1/runs/${segment(run)}?actions=1`) : null;
      const given = (whole?.inputs ?? {}) as Record<string, unknown>;
      const outputs = await Promise.all(nodes.map((name) => get<ActionView>(`/api/v1/runs/${segment(run)}/action?path=${encodeURIComponent(name)}`).catch(() => null)));
      return { given, outputs };
    },
    onSuccess: ({ given, outputs }) =>
      setValues((old) => {
        const next = { ...old };
        nodes.forEach((name, at) => {
          const output = outputs[at]?.output;
          if (output !== undefined && output !== null) next[`nodes.${name}`] = JSON.stringify(output, null, 1);
        });
        for (const name of inputs) if (given[name] !== undefined) next[`inputs.${name}`] = JSON.stringify(given[name], null, 1);
        return next;
      }),
  });
  const runsBefore = (earlier.data ?? []).slice(0, RUNS_SHOWN);
  return (
    <Dialog title={`Test ${id} by itself`} onClose={onClose} wide>
      <div className="space-y-4">
        <p className="text-soft">It runs as it stands here, at a site that the rules permit, and is recorded as a run of its own. Nothing is saved.</p>
        {nodes.length + inputs.length > 0 && runsBefore.length > 0 ? (
          <label className="flex items-center gap-2">
            <span className="text-soft">Take what it reads from the run</span>
            <select defaultValue="" onChange={(event) => (event.target.value ? take.mutate(event.target.value) : undefined)} className="rounded-md border border-edge bg-surface px-2 py-1">
              <option value="">choose</option>
              {runsBefore.map((run) => (
                <option key={run.name} value={run.name}>
                  {run.name}, {run.phase}
                </option>
              ))}
            </select>
          </label>
        ) : null}
        {take.error ? <Failed error={take.error} /> : null}
        {[...nodes.map((name) => ["nodes", name]), ...inputs.map((name) => ["inputs", name])].map(([of, name]) => (
          <label key={`${of}.${name}`} className="block">
            <span className="mb-1 block text-soft">{of === "nodes" ? `What ${name} gives` : `The input ${name}`}</span>
            <textarea
              rows={Math.min(10, Math.max(2, (values[`${of}.${name}`] ?? "").split("\n").length))}
              spellCheck={false}
              placeholder="JSON"
              value={values[`${of}.${name}`] ?? ""}
              onChange={(event) => setValues({ ...values, [`${of}.${name}`]: event.target.value })}
              className="w-full rounded-md border border-edge bg-surface px-3 py-1.5 font-mono text-code"
            />
          </label>
        ))}
        <div className="flex items-center gap-3">
          <Button look="primary" disabled={test.isPending || wrong.length > 0} onClick={() => test.mutate()}>
            {test.data ? "Test it again" : "Test it"}
          </Button>
          {wrong.length > 0 ? <span className="text-soft">No JSON yet: {wrong.join(", ")}</span> : null}
        </div>
        {test.isPending ? <Working what="Starting" /> : null}
        {test.error ? <Failed error={test.error} /> : null}
        {test.data ? <Outcome key={test.data.name} run={test.data.name} path={id} /> : null}
      </div>
    </Dialog>
  );
}

/** What an input begins with: its default. */
function defaults(doc: Doc, inputs: string[]): Record<string, string> {
  const declared = (doc.inputs ?? {}) as Record<string, { default?: unknown } | undefined>;
  return Object.fromEntries(inputs.flatMap((name) => (declared[name]?.default === undefined ? [] : [[`inputs.${name}`, JSON.stringify(declared[name]!.default)]])));
}

/** The value of a text of JSON; undefined when it is none. */
export function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function Outcome({ run, path }: { run: string; path: string }) {
  const whole = useRun(run);
  const action = useAction(run, path);
  const look = useLogLook();
  if (whole.error) return <Failed error={whole.error} />;
  const over = whole.data && isOver(whole.data.phase);
  const failure = action.data?.failure ?? whole.data?.failure;
  return (
    <section aria-label="What came of it" className="space-y-3 rounded-md border border-line p-4">
      <p className="flex items-center gap-3">
        <Phase phase={whole.data?.phase ?? "queued"} />
        {action.data?.site ? <span className="text-soft">at {action.data.site}</span> : null}
        <Link to="/runs/$run" params={{ run }} className="ml-auto text-accent hover:underline">
          {run}
        </Link>
      </p>
      {failure ? <p className="break-words text-bad"><Said text={failure.message} /></p> : null}
      {action.data?.output !== undefined && action.data?.output !== null ? <Value value={action.data.output} /> : over ? null : <Working what="It runs" />}
      {over && action.data?.kind === "run" ? <Logs run={run} path={path} attempts={action.data.attempts} over look={look} withheld={action.data.withheld} /> : null}
    </section>
  );
}
