// Repeating a run: as it was, or with other inputs, whole or from a node on.

import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useDeferredValue, useState } from "react";

import { post, segment } from "../../api/client";
import { useRunGraph } from "../../api/queries";
import type { JsonSchema, Port, RerunPlanView, RunView } from "../../api/types";
import { Dialog } from "../../ui/dialog";
import { Form, formOf, missing, type FormValue } from "../../ui/form";
import { Button, Failed, Loading, Said, Working } from "../../ui/kit";

type Props = { run: RunView; node?: string; label: string; look?: "primary" | "plain" };

/** A button that repeats a run. What is taken over and what runs, and why, is asked of the server while the inputs are changed. */
export function Rerun({ run, node, label, look = "plain" }: Props) {
  const { again } = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const open = again === (node ?? true);
  const setOpen = (next: boolean) => void navigate({ search: (old) => ({ ...old, again: next ? (node ?? true) : undefined }), replace: !next });
  return (
    <>
      <Button look={look} onClick={() => setOpen(true)} aria-haspopup="dialog">
        {label}
      </Button>
      {open ? (
        <Dialog title={node ? `Run again from ${node}` : `Repeat ${run.name}`} onClose={() => setOpen(false)}>
          <Inputs run={run} node={node} done={() => setOpen(false)} />
        </Dialog>
      ) : null}
    </>
  );
}

function Inputs({ run, node, done }: { run: RunView; node?: string; done: () => void }) {
  const navigate = useNavigate();
  // What is repeated is the version that ran, whatever its workflow takes by now.
  const graph = useRunGraph(run.name, undefined);
  const before = (run.inputs ?? {}) as FormValue;
  const [values, setValues] = useState<FormValue>(before);
  const changed = Object.keys({ ...before, ...values }).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(values[name]));
  const request = { from: node ? [node] : [], ...(changed.length > 0 ? { inputs: Object.fromEntries(changed.map((name) => [name, values[name]])) } : {}) };
  const repeat = useMutation({
    mutationFn: () => post<RunView>(`/api/v1/runs/${segment(run.name)}/rerun`, request),
    onSuccess: (answer) => {
      void navigate({ to: "/runs/$run", params: { run: answer.name }, search: {} });
    },
  });
  const ports = (graph.data?.inputs ?? []) as Port[];
  const whole: JsonSchema = formOf({ workflow: run.workflow, nodes: [], inputs: ports });
  // What may not be seen is taken as it was given: only what is filled in is given anew.
  const schema = run.withheld ? { ...whole, required: [], properties: Object.fromEntries(Object.entries(whole.properties ?? {}).map(([name, field]) => [name, { ...field, default: undefined }])) } : whole;
  const lacking = missing(schema, values);
  if (graph.error && !graph.data) return <Failed error={graph.error} retry={() => void graph.refetch()} />;
  if (!graph.data) return <Loading what="what it takes" />;
  return (
    <>
      {run.withheld ? <p className="mb-3 text-soft">You may not see what it was given. It is given the same again, but for what you fill in here.</p> : null}
      <Form schema={schema} values={values} onChange={setValues} />
      {lacking.length === 0 ? <Plan run={run} request={request} /> : null}
      {repeat.isPending ? <Working what="Starting" className="mt-3" /> : null}
      {repeat.error ? <Failed error={repeat.error} /> : null}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={done}>Leave it</Button>
        <Button look="primary" disabled={repeat.isPending || lacking.length > 0} onClick={() => repeat.mutate()}>
          Start
        </Button>
      </div>
    </>
  );
}

/** Nodes that are named; the rest is counted. */
const NAMED = 12;

/** What a repetition takes over, and what it runs and why. */
function Plan({ run, request }: { run: RunView; request: { from: string[]; inputs?: Record<string, unknown> } }) {
  const asked = useDeferredValue(JSON.stringify(request));
  const plan = useQuery({
    queryKey: ["rerun", run.name, asked],
    queryFn: ({ signal }) => post<RerunPlanView>(`/api/v1/runs/${segment(run.name)}/rerun/plan`, JSON.parse(asked), signal),
    placeholderData: (old) => old,
    retry: false,
  });
  if (plan.error) return <Failed error={plan.error} />;
  if (!plan.data) return null;
  const { reused, again, items = {} } = plan.data;
  return (
    <section aria-label="What it would do" aria-busy={plan.isFetching} className="mt-4 border-t border-line pt-3">
      <p>
        <strong className="font-semibold">Taken over:</strong> {reused.length === 0 ? "nothing" : reused.slice(0, NAMED).join(", ")}
        {reused.length > NAMED ? ` and ${reused.length - NAMED} more` : ""}
      </p>
      <p className="mt-1 font-semibold">Runs: {again.length === 0 ? "nothing" : ""}</p>
      <ul className="max-h-48 overflow-y-auto" tabIndex={again.length > 6 ? 0 : undefined} aria-label="Nodes that run">
        {again.map(({ node, why }) => (
          <li key={node}>
            {node} <span className="text-soft">· <Said text={why} /></span>
            {items[node] ? <span className="text-soft">; items that are given the same take over what {items[node] === 1 ? "one gave" : `${items[node].toLocaleString()} gave`}</span> : null}
          </li>
        ))}
      </ul>
    </section>
  );
}
