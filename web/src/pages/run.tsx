// One run: what it is doing, where, at what cost, and everything about each of its actions.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Tabs } from "radix-ui";
import { lazy, Suspense, useEffect, useState } from "react";

import { post, segment } from "../api/client";
import { neighbourOptions, tilesOptions, useRun, useRunAt, useRunGraph } from "../api/queries";
import type { RunView } from "../api/types";
import { useKeys, useRowKeys } from "../lib/keys";
import { failureWords, isOver } from "../lib/phases";
import { Dialog } from "../ui/dialog";
import { Ago, Button, Card, Empty, Failed, Loading, PageHead, Phase, Said, useNow } from "../ui/kit";
import { Value } from "../ui/value";
import { Withheld } from "../ui/withheld";
import { ActionSheet } from "./run/action";
import { GraphPicture } from "./run/graph";
import { RunHeader } from "./run/header";
import { History } from "./run/history";
import { Scrubber, spanOf, useMoment } from "./run/moment";
import { Rerun } from "./run/rerun";
import { ActionTable } from "./run/table";
import { Timeline } from "./run/timeline";

const WhatIf = lazy(() => import("./run/whatif").then((module) => ({ default: module.WhatIf })));

const TABS = ["timeline", "graph", "table", "data", "history", "whatif"] as const;
/** Views that are of no moment: all that was recorded, and what would be. */
const TIMELESS = new Set(["history", "whatif"]);
const NAMES: Partial<Record<(typeof TABS)[number], string>> = { whatif: "what if" };

export function RunPage() {
  const { run: name } = useParams({ from: "/runs/$run" });
  const { tab = "timeline", action, at: settled } = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const query = useRun(name);
  const [at, setAt] = useMoment();
  const then = useRunAt(query.data, settled);
  useRunKeys(query.data);
  useTilesAhead(name);
  const now = useNow(query.data && isOver(query.data.phase) ? 60_000 : 500);
  // What is on the screen stays, also when it cannot be read anew.
  if (query.error && !query.data) return <Failed error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what={name} />;
  const run = query.data;
  const live = !isOver(run.phase);
  // Until the first answer about a moment is there, the page shows the present, and says that it reads.
  const past = settled === undefined || then.error ? undefined : then.data;
  const shown = past ?? run;
  const until = past ? Math.max(settled!, Date.parse(past.submitted_at)) : now;
  const open = (path: string | undefined) => void navigate({ search: (old) => ({ ...old, action: path, pane: undefined, attempt: undefined }) });
  return (
    <>
      <PageHead
        title={
          <span className="flex items-center gap-3">
            {run.name} <span className="text-base font-normal"><Phase phase={shown.phase} /></span>
          </span>
        }
        above={
          <>
            <Link to="/workflow/$" params={{ _splat: run.workflow }} className="hover:underline">
              {run.workflow}
            </Link>{" "}
            · {run.domain} · by {run.principal} · <Ago at={run.submitted_at} />
            {run.origin.startsWith("rerun:") ? (
              <>
                {" "}
                · repeats{" "}
                <Link to="/runs/$run" params={{ run: run.origin.slice(6) }} className="underline">
                  run {run.origin.slice(6)}
                </Link>
              </>
            ) : null}
          </>
        }
      >
        <Orders run={run} />
      </PageHead>
      {settled !== undefined && then.error ? (
        <NotThen error={then.error} now={() => setAt(undefined)} />
      ) : (
      <>
      <RunHeader run={shown} now={until} open={open} />
      {shown.failure ? <FailureStrip run={shown} open={open} /> : null}
      <div className={`grid grid-cols-[minmax(0,1fr)] gap-4 ${action ? "xl:grid-cols-[minmax(0,1fr)_minmax(420px,38%)]" : ""}`}>
        <Card>
          <Tabs.Root value={tab} onValueChange={(next) => void navigate({ search: (old) => ({ ...old, tab: next }) })}>
            <Tabs.List aria-label="Views of the run" className="flex gap-1 border-b border-line px-3 pt-2">
              {TABS.map((known) => (
                <Tabs.Trigger key={known} value={known} className="rounded-t-md border-b-2 border-transparent px-3 py-1.5 text-soft capitalize data-[state=active]:border-accent data-[state=active]:text-ink">
                  {NAMES[known] ?? known}
                </Tabs.Trigger>
              ))}
            </Tabs.List>
            <Tabs.Content value="timeline">
              <Timeline run={run.name} actions={shown.actions ?? []} total={shown.actions_total} span={spanOf(run, now)} now={until} at={at} settled={past ? settled : undefined} onOpen={open} chosen={action} />
            </Tabs.Content>
            <Tabs.Content value="graph">
              <RunGraph run={run.name} at={settled} open={open} />
            </Tabs.Content>
            <Tabs.Content value="table">
              <ActionTable run={shown} at={past ? settled : undefined} open={open} chosen={action} />
            </Tabs.Content>
            <Tabs.Content value="history">
              <History run={run.name} />
            </Tabs.Content>
            <Tabs.Content value="whatif" className="p-4">
              <Suspense fallback={<Loading what="the comparison" />}>
                <WhatIf run={run} />
              </Suspense>
            </Tabs.Content>
            <Tabs.Content value="data" className="space-y-6 p-4">
              {shown.withheld ? <Withheld what={shown.withheld} /> : <>
              <section>
                <h2 className="mb-2 font-semibold">Inputs</h2>
                <Value value={shown.inputs} />
              </section>
              <section>
                <h2 className="mb-2 font-semibold">Outputs</h2>
                {shown.outputs ? <Value value={shown.outputs} /> : <p className="text-soft">{isOver(shown.phase) ? "It gave none." : "They come when it has succeeded."}</p>}
              </section>
              </>}
            </Tabs.Content>
          </Tabs.Root>
          {TIMELESS.has(tab) ? null : <Scrubber span={spanOf(run, now)} at={at} onAt={setAt} live={live} reading={settled !== undefined && (then.isPending || then.isPlaceholderData)} />}
        </Card>
        {action ? <ActionSheet key={action} run={run} path={action} at={settled} close={() => open(undefined)} /> : null}
      </div>
      </>
      )}
    </>
  );
}

/** Where the past cannot be read the present does not stand for it. */
function NotThen({ error, now }: { error: unknown; now: () => void }) {
  return (
    <Card>
      <Failed error={error} />
      <div className="px-4 pb-4">
        <Button onClick={now}>Show it as it is now</Button>
      </div>
    </Card>
  );
}

/** Asks for the tiles together with the run: a large run is drawn from them, and the picture need not wait for one answer after the other. */
function useTilesAhead(name: string) {
  const { tab = "timeline", at, look } = useSearch({ from: "/runs/$run" });
  const queries = useQueryClient();
  const plain = tab === "timeline" && at === undefined && look === undefined;
  useEffect(() => {
    if (plain) void queries.prefetchQuery(tilesOptions(name));
    // Once for a run: what is on the screen is kept fresh by what draws it.
  }, [name]);
}

/** Tabs by number, neighbours of the same workflow, and the action's pane. */
function useRunKeys(run: RunView | undefined) {
  const { action } = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const queries = useQueryClient();
  const neighbour = (by: number) => async () => {
    if (!run) return;
    const runs = await queries.fetchQuery(neighbourOptions(run.workflow));
    const at = runs.findIndex((other) => other.number === run.number);
    const other = at < 0 ? undefined : runs[at + by];
    if (other) void navigate({ to: "/runs/$run", params: { run: other.name }, search: (old) => ({ tab: old.tab }) });
  };
  const tabs = TABS.map((tab, index): [string, () => void] => [String(index + 1), () => void navigate({ search: (old) => ({ ...old, tab }) })]);
  useRowKeys();
  useKeys({
    ...Object.fromEntries(tabs),
    // The newest run stands first.
    "[": () => void neighbour(1)(),
    "]": () => void neighbour(-1)(),
    l: () => (action ? void navigate({ search: (old) => ({ ...old, pane: "logs" }) }) : undefined),
    Escape: () => (action ? void navigate({ search: (old) => ({ ...old, action: undefined, pane: undefined }) }) : undefined),
  });
}

function FailureStrip({ run, open }: { run: RunView; open: (path: string) => void }) {
  const first = run.actions?.find((action) => action.phase === "failed" || action.phase === "timed_out");
  return (
    <div role="alert" className="mb-4 flex flex-wrap items-baseline gap-3 rounded-lg border border-line bg-raised px-4 py-3">
      <span className="font-medium text-bad">✕ {failureWords(run.failure!.class)}</span>
      <span className="min-w-0 flex-1 break-words">
        <Said text={run.failure!.message} />
      </span>
      {first ? <Button onClick={() => open(first.path)}>Look at {first.path}</Button> : null}
    </div>
  );
}

function Orders({ run }: { run: RunView }) {
  const queries = useQueryClient();
  const order = useMutation({
    mutationFn: ({ what, body }: { what: string; body?: unknown }) => post<RunView>(`/api/v1/runs/${segment(run.name)}/${what}`, body ?? {}),
    onSuccess: () => void queries.invalidateQueries(),
  });
  const over = isOver(run.phase);
  const asked = useSearch({ from: "/runs/$run", select: (search) => search.cancel === true });
  const navigate = useNavigate({ from: "/runs/$run" });
  const ask = (open: boolean) => void navigate({ search: (old) => ({ ...old, cancel: open || undefined }), replace: !open });
  return (
    <>
      {over ? null : run.phase === "paused" ? (
        <Button onClick={() => order.mutate({ what: "resume" })}>Resume</Button>
      ) : (
        <Button onClick={() => order.mutate({ what: "pause" })} title="nothing new is started; what runs goes on">
          Pause
        </Button>
      )}
      {over ? (
        <Rerun run={run} label={run.phase === "succeeded" ? "Run again" : "Retry"} look={run.phase === "succeeded" ? "plain" : "primary"} />
      ) : (
        <Button look="danger" onClick={() => ask(true)} aria-haspopup="dialog">
          Cancel
        </Button>
      )}
      {asked && !over ? <CancelDialog run={run} pending={order.isPending} onClose={() => ask(false)} onCancel={(reason) => order.mutate({ what: "cancel", body: reason ? { reason } : {} }, { onSettled: () => ask(false) })} /> : null}
      {order.error ? <Failed error={order.error} /> : null}
    </>
  );
}

type CancelProps = { run: RunView; pending: boolean; onClose: () => void; onCancel: (reason: string) => void };

/** What runs is stopped for good: it is asked for, with why. */
function CancelDialog({ run, pending, onClose, onCancel }: CancelProps) {
  const [reason, setReason] = useState("");
  return (
    <Dialog title={`Cancel ${run.name}?`} onClose={onClose}>
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          onCancel(reason.trim());
        }}
      >
        <p>What runs is stopped, and nothing more is begun. What is done stays: a run that repeats this one takes it over.</p>
        <label className="block">
          <span className="mb-1 block text-soft">Why</span>
          <input autoFocus value={reason} onChange={(event) => setReason(event.target.value)} className="w-full rounded-md border border-edge bg-surface px-3 py-1.5" />
        </label>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Leave it</Button>
          <Button look="danger" type="submit" disabled={pending}>
            Cancel it
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function RunGraph({ run, at, open }: { run: string; at: number | undefined; open: (path: string) => void }) {
  const graph = useRunGraph(run, at);
  if (graph.error && !graph.data) return <Failed error={graph.error} retry={() => void graph.refetch()} />;
  if (graph.isPending) return <Loading what="the graph" />;
  const { workflow, nodes, left_out } = graph.data;
  if (nodes.length === 0) return <Empty title="The graph of this run is not kept any more">The table and the timeline still have everything.</Empty>;
  return (
    <>
      {left_out > 0 ? <p className="px-4 pt-3 text-soft">{left_out.toLocaleString()} more nodes are left out.</p> : null}
      <GraphPicture workflow={workflow} nodes={nodes} live onOpen={open} />
    </>
  );
}
