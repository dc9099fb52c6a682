// One deployed Flyte task: what it takes and gives, how a workflow calls it, and how it went.

import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";

import { post } from "../api/client";
import { runOptions, useRuns, useTasks } from "../api/queries";
import type { JsonSchema, RunView, TaskView } from "../api/types";
import { moment } from "../lib/format";
import { typeWords } from "../lib/types";
import { Form, initial, missing, type FormValue } from "../ui/form";
import { Button, Card, Empty, Failed, Loading, More, PageHead, Td, Th, Working } from "../ui/kit";
import { CALL, callOf, templateOf } from "./build/tasks";
import { RunTable } from "./runs";

export function TaskPage() {
  const { _splat: key = "" } = useParams({ from: "/task/$" });
  const tasks = useTasks();
  const task = tasks.data?.find((one) => `${one.project}/${one.domain}/${one.name}` === key);
  const runs = useRuns({ workflow: task ? `${task.project}/${task.name}` : "none" });
  if (tasks.error && !tasks.data) return <Failed error={tasks.error} retry={() => void tasks.refetch()} />;
  if (tasks.isPending) return <Loading what={key} />;
  if (!task) {
    return (
      <>
        <PageHead title={key.split("/").at(-1)} />
        <Card>
          <Empty title="No such task is deployed">
            It may have been deployed to another project or domain: <Link to="/workflows" search={{ kind: "task" }} className="text-accent underline">the tasks that there are</Link>.
          </Empty>
        </Card>
      </>
    );
  }
  const latest = (runs.data?.pages.flatMap((page) => page.items) ?? []).filter((run) => run.domain === task.domain);
  return (
    <>
      <PageHead title={task.name} above={`Flyte task of ${task.project}, ${task.domain}${task.environment ? `, environment ${task.environment}` : ""}`} />
      <div className="grid grid-cols-1 gap-4 xl:grid-cols-[minmax(0,1fr)_420px]">
        <div className="space-y-4">
          <Ports title="What it takes" schema={task.inputs} none="It takes nothing." />
          <Ports title="What it gives" schema={task.outputs} none="It gives nothing." />
        </div>
        <div className="space-y-4">
        {task.domain === TRIED_IN ? <RunCard key={key} task={task} last={latest[0]?.name} /> : null}
        <Card title="Deployed">
          <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5 p-4">
            <dt className="text-soft">Version</dt>
            <dd className="break-all">
              {task.version}
              {task.versions > 1 ? <span className="text-faint">, the latest of {task.versions.toLocaleString()}</span> : null}
            </dd>
            <dt className="text-soft">When</dt>
            <dd>{moment(task.deployed_at)}</dd>
            <dt className="text-soft">By</dt>
            <dd>{task.by}</dd>
            <dt className="text-soft">Owner</dt>
            <dd title="who deployed the first version that there is">{task.owner}</dd>
          </dl>
          <div className="border-t border-line p-4">
            <p className="mb-2 text-soft">
              As a node of a workflow; <Link to="/build" search={{}} className="text-accent underline">the builder</Link> has it in its catalogue:
            </p>
            <pre tabIndex={0} aria-label="The node" className="overflow-x-auto rounded-md bg-sunken px-3 py-2 font-mono text-code">
              {`call:\n  task: ${task.name}\n${Object.keys(templateOf(task).with).length > 0 ? `  with: ${JSON.stringify(templateOf(task).with)}\n` : ""}`}
            </pre>
          </div>
        </Card>
        </div>
      </div>
      <Card title="Runs" className="mt-4">
        {runs.error ? (
          <Failed error={runs.error} retry={() => void runs.refetch()} />
        ) : runs.isPending ? (
          <Loading what="runs" />
        ) : latest.length > 0 ? (
          <RunTable runs={latest} />
        ) : runs.hasNextPage ? (
          <p className="p-4 text-soft">Its latest runs are all of other domains.</p>
        ) : (
          <Empty title="It has not run by itself yet">A run of it begins with `flyte run`, or with a program that calls it.</Empty>
        )}
        <More pages={runs}>Older runs</More>
      </Card>
    </>
  );
}

/** Where what is run from here runs: a page starts nothing in production. */
const TRIED_IN = "development";

/** Runs the task once, with what is filled in: a run of its own, of one step. */
function RunCard({ task, last }: { task: TaskView; last?: string }) {
  const navigate = useNavigate();
  const schema = task.inputs ?? {};
  const [values, setValues] = useState<FormValue>(() => initial(schema));
  const start = useMutation({
    mutationFn: () => post<RunView>("/api/v1/test-step", { text: callOf(task, values), node: CALL, inputs: {}, outputs: {} }),
    onSuccess: (run) => void navigate({ to: "/runs/$run", params: { run: run.name } }),
  });
  const before = useQuery({ ...runOptions(last ?? ""), enabled: last !== undefined });
  const given = Object.fromEntries(Object.entries((before.data?.inputs ?? {}) as FormValue).filter(([name]) => name in (schema.properties ?? {})));
  const lacking = missing(schema, values);
  return (
    <Card
      title="Run it"
      aside={
        Object.keys(given).length > 0 ? (
          <button type="button" className="text-accent hover:underline" title={`the inputs of ${last}`} onClick={() => setValues(given)}>
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

function Ports({ title, schema, none }: { title: string; schema: JsonSchema | null; none: string }) {
  const ports = Object.entries(schema?.properties ?? {});
  return (
    <Card title={title}>
      {ports.length === 0 ? (
        <p className="p-4 text-soft">{none}</p>
      ) : (
        <table className="w-full">
          <thead>
            <tr className="border-b border-line">
              <Th>Name</Th>
              <Th>Type</Th>
              <Th />
            </tr>
          </thead>
          <tbody>
            {ports.map(([name, port]) => (
              <tr key={name} className="border-b border-line last:border-0">
                <Td className="font-mono text-code">{name}</Td>
                <Td>{typeWords(port)}</Td>
                <Td className="text-soft">{title === "What it takes" ? (schema?.required?.includes(name) ? "needed" : port.default === undefined ? "may be left out" : `usually ${JSON.stringify(port.default)}`) : ""}</Td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
}
