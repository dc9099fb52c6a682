// What a person wants to know first: what waits for them, what fails, what it costs, whether the places are well.

import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { useApprovals, useRuns, useSites } from "../api/queries";
import type { RunView } from "../api/types";
import { money } from "../lib/format";
import { Ago, Card, Empty, Failed, Loading, PageHead } from "../ui/kit";
import { RunTable } from "./runs";

const DAY_MS = 86_400_000;

const FIRST_RUN = `make up                       # the bank story, ready to look at
tutti run greet.workflow.yaml --input name=Wilhelmina --wait`;

export function HomePage() {
  const runs = useRuns();
  const approvals = useApprovals();
  const sites = useSites();
  const recent = runs.data?.pages[0]?.items ?? [];
  const today = recent.filter((run) => Date.now() - Date.parse(run.submitted_at) < DAY_MS);
  const failing = today.filter((run) => run.phase === "failed" || run.phase === "timed_out");
  const spent = today.reduce((sum, run) => sum + run.cost, 0);
  const unwell = (sites.data ?? []).filter((site) => site.state !== "open");
  return (
    <>
      <PageHead title="Home" />
      <div className="mb-6 grid grid-cols-2 gap-4 lg:grid-cols-4">
        <Tile to="/inbox" name="Waiting for a person" value={approvals.data?.length} tone={approvals.data?.length ? "text-accent" : ""}>
          {approvals.data?.[0] ? (
            <>
              oldest <Ago at={approvals.data[0].since} />
            </>
          ) : (
            "nothing waits"
          )}
        </Tile>
        <Tile to="/runs" search={{ phase: "failed" }} name="Failed in 24 hours" value={failing.length} tone={failing.length ? "text-bad" : ""}>
          of the last {today.length} runs
        </Tile>
        <Tile to="/runs" name="Spent in 24 hours" value={money(spent)}>
          over the last {today.length} runs
        </Tile>
        <Tile to="/sites" name="Sites open" value={sites.data ? `${sites.data.length - unwell.length} of ${sites.data.length}` : undefined} tone={unwell.length ? "text-warn" : ""}>
          {unwell.length ? unwell.map((site) => `${site.name} ${site.state}`).join(", ") : "all take work"}
        </Tile>
      </div>
      <Card title="Recent runs" aside={<Link to="/runs" className="text-accent hover:underline">all runs</Link>}>
        <RecentRuns error={runs.error} pending={runs.isPending} runs={recent} retry={() => void runs.refetch()} />
      </Card>
    </>
  );
}

function RecentRuns({ error, pending, runs, retry }: { error: unknown; pending: boolean; runs: RunView[]; retry: () => void }) {
  if (error) return <Failed error={error} retry={retry} />;
  if (pending) return <Loading what="the latest runs" />;
  if (runs.length === 0) {
    return (
      <Empty title="Nothing has run yet" code={FIRST_RUN}>
        Runs of workflows show up here as they happen. From a terminal:
      </Empty>
    );
  }
  return <RunTable runs={runs.slice(0, 12)} />;
}

type TileProps = {
  to: "/inbox" | "/runs" | "/sites";
  search?: { phase?: string };
  name: string;
  value: ReactNode;
  tone?: string;
  children: ReactNode;
};

function Tile({ to, search, name, value, tone = "", children }: TileProps) {
  return (
    <Link to={to} search={search as never} className="rounded-lg border border-line bg-raised p-4 hover:border-accent">
      <div className="text-soft">{name}</div>
      <div className={`mt-1 text-2xl font-semibold ${tone}`}>{value ?? "…"}</div>
      <div className="mt-1 truncate text-faint">{children}</div>
    </Link>
  );
}
