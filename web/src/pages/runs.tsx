// Runs, newest first, with filters that are part of the address.

import { Link, useNavigate, useSearch } from "@tanstack/react-router";

import { useRuns, useWorkflows } from "../api/queries";
import type { RunView } from "../api/types";
import { GREET, ran } from "../lib/examples";
import { money, seconds } from "../lib/format";
import { useRowKeys } from "../lib/keys";
import { look } from "../lib/phases";
import { Ago, Card, Empty, Failed, Loading, More, PageHead, Phase, RunLink, Td, Th } from "../ui/kit";

const PHASES = ["running", "paused", "succeeded", "failed", "timed_out", "aborted"];

export function RunsPage() {
  const filter = useSearch({ from: "/runs" });
  const navigate = useNavigate({ from: "/runs" });
  const workflows = useWorkflows().data ?? [];
  const runs = useRuns(filter);
  const all = runs.data?.pages.flatMap((page) => page.items) ?? [];
  const field = "min-h-8 rounded-md border border-edge bg-raised px-2";
  return (
    <>
      <PageHead title="Runs">
        <label className="flex items-center gap-2 text-soft">
          Phase
          <select className={field} value={filter.phase ?? ""} onChange={(event) => void navigate({ search: (old) => ({ ...old, phase: event.target.value || undefined }) })}>
            <option value="">any</option>
            {PHASES.map((phase) => (
              <option key={phase} value={phase}>
                {look(phase).words}
              </option>
            ))}
          </select>
        </label>
        <label className="flex items-center gap-2 text-soft">
          Workflow
          <select className={field} value={filter.workflow ?? ""} onChange={(event) => void navigate({ search: (old) => ({ ...old, workflow: event.target.value || undefined }) })}>
            <option value="">any</option>
            {workflows.map((workflow) => (
              <option key={workflow.name}>{workflow.name}</option>
            ))}
          </select>
        </label>
      </PageHead>
      <Card>
        {runs.error ? (
          <Failed error={runs.error} retry={() => void runs.refetch()} />
        ) : runs.isPending ? (
          <Loading what="runs" />
        ) : all.length === 0 ? (
          filter.phase || filter.workflow ? (
            <Empty title="No run matches">Take a filter off, or start one from a workflow's page.</Empty>
          ) : (
            <Empty title="Nothing has run yet" example="greet" code={ran("greet.workflow.yaml", GREET, " --input name=Ada")}>
              Every run stands here from the moment it is accepted, the newest first.
            </Empty>
          )
        ) : (
          <RunTable runs={all} />
        )}
        <More pages={runs}>Older runs</More>
      </Card>
    </>
  );
}

/** Columns that are there when there is room for them. */
const ROOMY = "hidden @4xl:table-cell";

export function RunTable({ runs }: { runs: RunView[] }) {
  useRowKeys();
  return (
    <div className="@container overflow-x-auto">
      <table className="w-full">
        <thead className="border-b border-line">
          <tr>
            <Th>Run</Th>
            <Th>Phase</Th>
            <Th className={ROOMY}>Workflow</Th>
            <Th>Started</Th>
            <Th right>Took</Th>
            <Th right className={ROOMY}>Actions</Th>
            <Th right>Cost</Th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.number} className="border-b border-line last:border-0 hover:bg-surface">
              <Td>
                <RunLink name={run.name} row />
                <span className="block text-small text-faint @4xl:hidden">{run.workflow}</span>
              </Td>
              <Td>
                {/* A run that waits for a person is nobody's but theirs to bring on. */}
                <Phase phase={run.phase} kind={run.waiting_for_human ? "human" : ""} />
              </Td>
              <Td className={ROOMY}>
                <Link to="/workflow/$" params={{ _splat: run.workflow }} className="text-soft hover:text-ink hover:underline">
                  {run.workflow}
                </Link>
              </Td>
              <Td className="text-soft">
                <Ago at={run.submitted_at} />
              </Td>
              <Td right className="text-soft">
                {seconds(run.seconds)}
              </Td>
              <Td right className={`text-soft ${ROOMY}`}>
                {run.actions_done.toLocaleString()}/{run.actions_total.toLocaleString()}
              </Td>
              <Td right className="text-soft">
                {money(run.cost)}
              </Td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
