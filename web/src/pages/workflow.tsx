// One workflow: its picture, how to start it, and how it went.

import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";

import { ApiError, post } from "../api/client";
import { runOptions, useRuns, useTasks, useWorkflow } from "../api/queries";
import type { Graph, RunView } from "../api/types";
import { Button, Card, Empty, Failed, Loading, PageHead, Working } from "../ui/kit";
import { carried, Form, formOf, initial, missing, taken, type FormValue } from "../ui/form";
import { GraphPicture, nodesOf } from "./run/graph";
import { RunTable } from "./runs";

export function WorkflowPage() {
  const { _splat: name = "" } = useParams({ from: "/workflow/$" });
  const workflow = useWorkflow(name);
  const runs = useRuns({ workflow: name });
  const latest = runs.data?.pages.flatMap((page) => page.items) ?? [];
  if (workflow.error instanceof ApiError && workflow.error.problem.status === 404) return <NotRegistered name={name} runs={latest} />;
  if (workflow.error && !workflow.data) return <Failed error={workflow.error} retry={() => void workflow.refetch()} />;
  if (!workflow.data) return <Loading what={name} />;
  const { row, graph } = workflow.data;
  return (
    <>
      <PageHead title={name} above={`version ${row.version}, applied by ${row.principal}`}>
        <Link to="/build" search={{ workflow: name }} className="inline-flex min-h-8 items-center rounded-md border border-line bg-raised px-3 font-medium hover:bg-sunken">
          Edit
        </Link>
      </PageHead>
      {graph?.description ? <p className="-mt-3 mb-5 max-w-prose text-soft">{graph.description}</p> : null}
      <div className="grid grid-cols-1 gap-4 xl:grid-cols-[minmax(0,1fr)_360px]">
        <Card title="Graph">{graph ? <GraphPicture workflow={graph.workflow} nodes={nodesOf(graph)} /> : <Empty title="Its graph is not there" />}</Card>
        {graph ? <StartCard key={name} graph={graph} last={latest[0]?.name} /> : null}
      </div>
      <Card title="Runs" className="mt-4">
        {latest.length > 0 ? <RunTable runs={latest} /> : <Empty title="It has not run yet">Start it with the form above.</Empty>}
      </Card>
    </>
  );
}

/** Runs have a workflow that is not registered when it was deleted, and when they are runs of a deployed task or of a program. */
function NotRegistered({ name, runs }: { name: string; runs: RunView[] }) {
  const tasks = (useTasks().data ?? []).filter((task) => `${task.project}/${task.name}` === name);
  return (
    <>
      <PageHead title={name} />
      <Card>
        <Empty title="It is not registered as a workflow">
          {tasks.length > 0 ? (
            <>
              It is a task that a Flyte program deployed:{" "}
              {tasks.map((task) => (
                <Link key={task.domain} to="/task/$" params={{ _splat: `${task.project}/${task.domain}/${task.name}` }} className="text-accent underline">
                  {task.name} in {task.domain}
                </Link>
              ))}
            </>
          ) : (
            "It was deleted, or its runs are those of a program, or of one step that was tested by itself."
          )}
        </Empty>
      </Card>
      {runs.length > 0 ? (
        <Card title="Runs" className="mt-4">
          <RunTable runs={runs} />
        </Card>
      ) : null}
    </>
  );
}

function StartCard({ graph, last }: { graph: Graph; last?: string }) {
  const navigate = useNavigate();
  const schema = formOf(graph);
  const [values, setValues] = useState<FormValue>(() => initial(schema));
  // Somebody may save another version meanwhile, which takes other inputs: what was filled in stays where there is still a field for it.
  const known = useRef(schema);
  useEffect(() => {
    setValues((old) => carried(old, known.current, schema));
    known.current = schema;
  }, [JSON.stringify(schema)]);
  // One key for one press of the button: a second press while the first is on its way starts nothing.
  const [key, setKey] = useState(() => crypto.randomUUID());
  const start = useMutation({
    mutationFn: () => post<{ name: string }>("/api/v1/runs", { workflow: graph.workflow, inputs: values, idempotency_key: key }),
    onSuccess: (run) => {
      setKey(crypto.randomUUID());
      void navigate({ to: "/runs/$run", params: { run: run.name } });
    },
  });
  const lacking = missing(schema, values);
  const before = useQuery({ ...runOptions(last ?? ""), enabled: last !== undefined });
  return (
    <Card
      title="Start a run"
      aside={
        before.data?.inputs && Object.keys(before.data.inputs).length > 0 ? (
          <button type="button" className="text-accent hover:underline" title={`the inputs of ${last}`} onClick={() => setValues(taken(schema, before.data!.inputs as FormValue))}>
            use the last values
          </button>
        ) : undefined
      }
    >
      <form
        className="p-4"
        onSubmit={(event) => {
          event.preventDefault();
          start.mutate();
        }}
      >
        <Form schema={schema} values={values} onChange={setValues} />
        <Button look="primary" type="submit" className="mt-4" disabled={start.isPending || lacking.length > 0}>
          Start
        </Button>
        {start.isPending ? <Working what="Starting" className="mt-2" /> : null}
        {start.error ? <Failed error={start.error} /> : null}
      </form>
    </Card>
  );
}
