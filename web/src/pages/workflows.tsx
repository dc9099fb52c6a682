// What can be run here: registered workflows, tasks and apps of Flyte programs, in one list, each with its latest runs.

import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { useApps, useLatestRuns, useMoreTasks, useTasks, useWorkflowList } from "../api/queries";
import type { RunMark } from "../api/types";
import { useSettled } from "../lib/address";
import { GREET, ran } from "../lib/examples";
import { seconds } from "../lib/format";
import { useRowKeys } from "../lib/keys";
import { look, type Tone } from "../lib/phases";
import { Ago, Card, Empty, Failed, Loading, More, PageHead, RunLink, Td, Th } from "../ui/kit";
import { certified, marksOf, runnables, type Runnable } from "./workflows/rows";

const SPARK_RUNS = 20;
export const KINDS = ["workflow", "environment", "task", "app"] as const;
const NAMES: Record<(typeof KINDS)[number], string> = { workflow: "workflows", environment: "Flyte environments", task: "Flyte tasks", app: "apps" };

export function WorkflowsPage() {
  const workflows = useWorkflowList();
  const tasks = useTasks();
  const apps = useApps();
  const moreTasks = useMoreTasks();
  useRowKeys();
  const error = workflows.error ?? tasks.error ?? apps.error;
  const all = runnables(workflows.data?.pages.flat() ?? [], tasks.data ?? [], apps.data ?? []);
  return (
    <>
      <PageHead title="Workflows">
        <Link to="/build" search={{}} className="inline-flex min-h-8 items-center rounded-md bg-accent px-3 font-medium text-on-accent">
          New workflow
        </Link>
      </PageHead>
      <Card>
        {error ? (
          <Failed error={error} retry={() => void Promise.all([workflows.refetch(), tasks.refetch(), apps.refetch()])} />
        ) : workflows.isPending || tasks.isPending || apps.isPending ? (
          <Loading what="workflows" />
        ) : all.length === 0 ? (
          <Empty title="No workflow is registered" example="greet" code={ran("greet.workflow.yaml", GREET, " --input name=Ada")}>
            A workflow is one readable YAML file. Draw it in the browser, or register it from a terminal. Tasks that Flyte programs deploy stand here too.
          </Empty>
        ) : (
          <List all={all} />
        )}
        {moreTasks ? <p className="border-t border-line px-4 py-2 text-soft">There are more tasks than the {(tasks.data ?? []).length.toLocaleString()} that are shown here: these are the first by name.</p> : null}
        <More pages={workflows}>More workflows</More>
      </Card>
    </>
  );
}

function List({ all }: { all: Runnable[] }) {
  const search = useSearch({ from: "/workflows" });
  const navigate = useNavigate({ from: "/workflows" });
  const [words, setWords] = useSettled(search.find ?? "", (next) => void navigate({ search: (old) => ({ ...old, find: next || undefined }), replace: true }));
  const runs = useLatestRuns().data;
  const kinds = KINDS.filter((kind) => all.some((row) => row.kind === kind));
  const shown = all.filter((row) => (!search.kind || row.kind === search.kind) && `${row.name} ${row.owner} ${row.domains.join(" ")} ${row.environment}`.toLowerCase().includes(words.toLowerCase()));
  const field = "min-h-8 rounded-md border border-edge bg-surface px-2";
  return (
    <>
      <div className="flex flex-wrap items-center gap-3 border-b border-line px-4 py-2">
        <input aria-label="Find by name, owner or domain" placeholder="Find" value={words} onChange={(event) => setWords(event.target.value)} className={`${field} px-3`} />
        {kinds.length > 1 ? (
          <select aria-label="Kind" value={search.kind ?? ""} onChange={(event) => void navigate({ search: (old) => ({ ...old, kind: KINDS.find((kind) => kind === event.target.value) }) })} className={field}>
            <option value="">everything</option>
            {kinds.map((kind) => (
              <option key={kind} value={kind}>
                {NAMES[kind]}
              </option>
            ))}
          </select>
        ) : null}
        <span role="status" className="text-soft">
          {shown.length.toLocaleString()} of {all.length.toLocaleString()}
        </span>
      </div>
      {shown.length === 0 ? (
        <Empty title="Nothing is called that">Names, owners, domains and environments are looked through.</Empty>
      ) : (
        <div className="@container overflow-x-auto">
          <table className="w-full">
            <thead className="border-b border-line">
              <tr>
                <Th>Name</Th>
                <Th>Last runs</Th>
                <Th>Owner</Th>
                <Th>Domain and certificate</Th>
                <Th className="@max-4xl:hidden">Version</Th>
                <Th>Changed</Th>
              </tr>
            </thead>
            <tbody>
              {shown.map((row) => (
                <tr key={row.key} className="border-b border-line align-top last:border-0 hover:bg-surface">
                  <Td>
                    <Name row={row} />
                  </Td>
                  <Td>
                    <Spark {...marksOf(row, runs)} />
                  </Td>
                  <Td className="text-soft">{row.owner}</Td>
                  <Td>
                    <Standing row={row} />
                  </Td>
                  <Td className="break-all text-soft @max-4xl:hidden">{row.version}</Td>
                  <Td className="text-soft">
                    <Ago at={row.at} />
                    {row.by !== row.owner ? <span className="block text-faint">by {row.by}</span> : null}
                  </Td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

const LINK = "font-medium text-accent hover:underline";

function Name({ row }: { row: Runnable }) {
  const below = (words: ReactNode) => <span className="block text-small text-faint">{words}</span>;
  if (row.kind === "environment") {
    return (
      <>
        <Link to="/workflows" search={{ find: row.name, kind: "task" }} data-row className={LINK} title="its tasks">
          {row.name}
        </Link>
        {below(`⬚ Flyte environment of ${row.project}, ${row.runsOf.length} ${row.runsOf.length === 1 ? "task" : "tasks"}`)}
      </>
    );
  }
  if (row.kind === "task") {
    return (
      <>
        <Link to="/task/$" params={{ _splat: row.key }} data-row className={LINK}>
          {row.name}
        </Link>
        {below(`ƒ Flyte task of ${row.project}${row.environment ? `, environment ${row.environment}` : ""}`)}
      </>
    );
  }
  if (row.kind === "app") {
    return (
      <>
        {row.run ? <RunLink name={row.run} row>{row.name}</RunLink> : <span className="font-medium">{row.name}</span>}
        {below(`◉ app of ${row.project}`)}
      </>
    );
  }
  return (
    <Link to="/workflow/$" params={{ _splat: row.name }} data-row className={LINK}>
      {row.name}
    </Link>
  );
}

/** In which domains it may run, and why not in others: a word and a shape, the reason one step away. */
function Standing({ row }: { row: Runnable }) {
  if (row.kind === "app") return <span className="text-soft">{row.domains.join(", ")} · {row.state}</span>;
  if (row.kind === "task" || row.kind === "environment") {
    return (
      <span className="text-soft" title="what a program does is known when it runs: the rules look at each of its actions">
        {row.domains.join(", ")} · judged as it runs
      </span>
    );
  }
  const { state, words, not } = certified(row.certificate!);
  const tone = state === "all" ? "text-good" : state === "none" ? "text-bad" : state === "some" ? "text-warn" : "text-faint";
  return (
    <>
      <span className={tone}>{words}</span>
      {row.certificate!.refused ? (
        <details className="mt-0.5">
          <summary className="cursor-pointer text-bad">✕ not in {not.join(", ")}</summary>
          <pre className="mt-1 max-w-prose whitespace-pre-wrap font-mono text-small text-soft">{row.certificate!.refused}</pre>
        </details>
      ) : null}
    </>
  );
}

const FILLS: Record<Tone, string> = { good: "fill-good", bad: "fill-bad", warn: "fill-warn", busy: "fill-busy", idle: "fill-idle" };

/** One run: a full bar went well, a broken one failed, an empty one is under way or waits, a thin one counts no more. */
function Bar({ tone, x, height }: { tone: Tone; x: number; height: number }) {
  const y = 22 - height;
  if (tone === "bad") return <path d={`M${x} ${y}h5v${height - 4}l-5 2zM${x} 22v-1l5 -2v3z`} />;
  if (tone === "busy" || tone === "warn") return <path fillRule="evenodd" d={`M${x} ${y}h5v${height}h-5zM${x + 1.5} ${y + 1.5}v${height - 3}h2v-${height - 3}z`} />;
  return <rect x={tone === "idle" ? x + 1.5 : x} y={y} width={tone === "idle" ? 2 : 5} height={height} rx={1} />;
}

/** The latest runs as bars, oldest first: as high as they took long, beside the longest of them. */
function Spark({ marks, none }: { marks: RunMark[]; none: string }) {
  const runs = marks.slice(0, SPARK_RUNS);
  if (runs.length === 0) return <span className="text-faint">{none}</span>;
  const longest = Math.max(...runs.map((run) => run.seconds), 0.001);
  const words = runs.map((run) => `${run.name} ${look(run.phase).words} in ${seconds(run.seconds)}`).join(", ");
  return (
    <svg role="img" aria-label={words} width={SPARK_RUNS * 7} height={22} className="block">
      {runs.toReversed().map((run, index) => {
        const height = 4 + 18 * (run.seconds / longest);
        return (
          <g key={run.number} className={FILLS[look(run.phase).tone]}>
            <title>{`${run.name}: ${look(run.phase).words}, ${seconds(run.seconds)}`}</title>
            <Bar tone={look(run.phase).tone} x={index * 7} height={height} />
          </g>
        );
      })}
    </svg>
  );
}

