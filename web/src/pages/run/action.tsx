// Everything about one action: what it was given and gave, what it wrote, why it is where it is.

import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Tabs } from "radix-ui";

import { ApiError, segment } from "../../api/client";
import { useAction } from "../../api/queries";
import type { RunView } from "../../api/types";
import { bytes, money, seconds } from "../../lib/format";
import { now } from "../../lib/now";
import { inTime } from "../../lib/outlook";
import { rootOf } from "../../lib/tree";
import { failureWords, isOver } from "../../lib/phases";
import { Button, Card, Failed, Loading, Phase, Said, SiteName } from "../../ui/kit";
import { Frame } from "../../ui/preview";
import { Tags } from "../../ui/tags";
import { Value } from "../../ui/value";
import { Withheld } from "../../ui/withheld";
import { Attempts } from "./attempts";
import { Logs, useLogAddress } from "./logs";
import { Placement } from "./placement";
import { Rerun } from "./rerun";

const PANES = ["data", "attempts", "logs", "report", "placement"] as const;

/** Whether actions of this kind run as processes and so write logs. */
const WRITES = new Set(["run", "task"]);

/** `at` is the moment that is looked at; none when it is now. */
export function ActionSheet({ run, path, at, close }: { run: RunView; path: string; at?: number; close: () => void }) {
  const query = useAction(run.name, path, at);
  const { pane = "data" } = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const look = useLogAddress(query.data?.failure != null);
  const kind = query.data?.kind ?? "";
  const panes = PANES.filter((known) => (known !== "logs" || WRITES.has(kind)) && (known !== "report" || kind === "task") && (known !== "attempts" || (query.data?.attempts ?? 0) > 1));
  const skipped = at !== undefined ? undefined : run.actions?.find((action) => action.path === path && action.phase === "skipped");
  return (
    <Card
      className="self-start xl:sticky xl:top-18 xl:max-h-[calc(100vh-6rem)] xl:overflow-y-auto"
      title={<span className="break-all font-mono">{path}</span>}
      aside={
        <Button onClick={close} aria-label="Close the action">
          ✕
        </Button>
      }
    >
      {skipped ? (
        <p className="p-4 text-soft">It was left out: {skipped.failure?.message ?? "its branch was not taken"}.</p>
      ) : query.error && at !== undefined && query.error instanceof ApiError && query.error.problem.status === 404 ? (
        <p className="p-4 text-soft">At the moment that is looked at it had not been opened.</p>
      ) : query.error ? (
        <Failed error={query.error} />
      ) : query.isPending ? (
        <Loading what={path} />
      ) : (
        <div className="p-4">
          <dl className="mb-4 grid grid-cols-[auto_1fr] gap-x-4 gap-y-1">
            <dt className="text-soft">Phase</dt>
            <dd>
              <Phase phase={query.data.phase} kind={query.data.kind} />
              {query.data.reused ? <span className="ml-2 text-faint">an earlier output was reused</span> : null}
            </dd>
            {query.data.wait ? (
              <>
                <dt className="text-soft">Waits for</dt>
                <dd className="break-words">
                  {query.data.wait.words}
                  {query.data.wait.until ? <span className="text-soft"> ({inTime(query.data.wait.until, now())})</span> : null}
                </dd>
              </>
            ) : null}
            {query.data.site ? (
              <>
                <dt className="text-soft">Site</dt>
                <dd>
                  <SiteName name={query.data.site} simulates={query.data.simulates} />
                </dd>
              </>
            ) : null}
            {(query.data.label ?? []).length > 0 ? (
              <>
                <dt className="text-soft">Reads</dt>
                <dd>
                  <Tags tags={query.data.label ?? []} />
                </dd>
              </>
            ) : null}
            {query.data.usage ? (
              <>
                <dt className="text-soft">Used</dt>
                <dd>
                  {seconds(query.data.usage.cpu_seconds)} of processor time, {bytes(query.data.usage.memory_peak_bytes)} of memory at its peak
                </dd>
              </>
            ) : null}
            {query.data.attempts > 0 ? (
              <>
                <dt className="text-soft">Attempts</dt>
                <dd>
                  {query.data.attempts}, the last took {seconds(query.data.seconds)}; cost {money(query.data.cost)}
                </dd>
              </>
            ) : null}
            {query.data.failure ? (
              <>
                <dt className="text-soft">Failure</dt>
                <dd className="break-words text-bad">
                  {failureWords(query.data.failure.class)}: <Said text={query.data.failure.message} />
                </dd>
              </>
            ) : null}
          </dl>
          <div className="mb-4 flex flex-wrap gap-2">
            {query.data.kind === "human" && at === undefined && !isOver(query.data.phase) ? (
              <Link to="/inbox" search={{ run: run.name, action: path }} className="rounded-md bg-accent px-3 py-1.5 font-medium text-on-accent">
                Decide
              </Link>
            ) : null}
            {isOver(run.phase) && query.data.kind !== "transfer" && !path.includes("!") ? <Rerun run={run} node={rootOf(path)} label={rootOf(path) === path ? "Run again from here" : `Run again from ${rootOf(path)}`} /> : null}
          </div>
          <Tabs.Root value={panes.includes(pane as never) ? pane : "data"} onValueChange={(next) => void navigate({ search: (old) => ({ ...old, pane: next }) })}>
            <Tabs.List aria-label="About the action" className="mb-3 flex gap-1 border-b border-line">
              {panes.map((pane) => (
                <Tabs.Trigger key={pane} value={pane} className="border-b-2 border-transparent px-3 py-1.5 capitalize text-soft data-[state=active]:border-accent data-[state=active]:text-ink">
                  {pane}
                </Tabs.Trigger>
              ))}
            </Tabs.List>
            <Tabs.Content value="data" className="space-y-4">
              {query.data.withheld ? <Withheld what={query.data.withheld} /> : <>
              <section>
                <h3 className="mb-1 font-semibold">Input</h3>
                <Value value={query.data.input} />
              </section>
              <section>
                <h3 className="mb-1 font-semibold">Output</h3>
                {query.data.output === undefined || query.data.output === null ? <p className="text-soft">None yet.</p> : <Value value={query.data.output} />}
              </section>
              </>}
            </Tabs.Content>
            <Tabs.Content value="attempts">
              <Attempts action={query.data} onLog={WRITES.has(kind) ? (attempt) => void navigate({ search: (old) => ({ ...old, pane: "logs", attempt }) }) : undefined} />
            </Tabs.Content>
            <Tabs.Content value="logs">
              <Logs run={run.name} path={path} attempts={query.data.attempts} over={at !== undefined || isOver(query.data.phase)} look={look} withheld={query.data.withheld} />
            </Tabs.Content>
            <Tabs.Content value="report">
              <Frame ask={`/api/v1/runs/${segment(run.name)}/report?path=${encodeURIComponent(path)}`} title={`the report of ${path}`} />
            </Tabs.Content>
            <Tabs.Content value="placement">
              <Placement run={run} path={path} />
            </Tabs.Content>
          </Tabs.Root>
        </div>
      )}
    </Card>
  );
}
