// What a person wants to know first: what waits for them, what fails, what it costs, whether the places are well.

import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { useApprovals, useMe, useRuns, useRunTotals, useSites, useSpend } from "../api/queries";
import type { ApprovalView, RunTotalsView, RunView, SiteView } from "../api/types";
import { budgetOf, spendToday } from "../lib/spend";
import { GREET, ran } from "../lib/examples";
import { money } from "../lib/format";
import { look } from "../lib/phases";
import { Ago, Card, Empty, Failed, Loading, PageHead } from "../ui/kit";
import { isFor } from "./inbox";
import { RunTable } from "./runs";

const RECENT = 12;
/** Phases that ask for a look, the worst first. */
const TROUBLES = ["failed", "timed_out"] as const;

export function HomePage() {
  const runs = useRuns();
  const recent = runs.data?.pages[0]?.items ?? [];
  return (
    <>
      <PageHead title="Home" />
      <div className="mb-6 grid grid-cols-2 gap-4 md:grid-cols-3 xl:grid-cols-5">
        <WaitingTile approvals={useApprovals().data} />
        <FailedTile totals={useRunTotals().data} />
        <OpenTile totals={useRunTotals().data} />
        <SpentTile />
        <SitesTile sites={useSites().data} />
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
      <Empty title="Nothing has run yet" example="greet" code={ran("greet.workflow.yaml", GREET, " --input name=Ada")}>
        Runs of workflows show up here as they happen. Draw one in the browser, or start one from a terminal:
      </Empty>
    );
  }
  return <RunTable runs={runs.slice(0, RECENT)} />;
}

/** What waits for whoever looks: asked of them by name, of a group of theirs, or of nobody in particular. */
function WaitingTile({ approvals }: { approvals?: ApprovalView[] }) {
  const me = useMe().data;
  const mine = approvals?.filter((approval) => isFor(approval, "mine", me) || isFor(approval, "groups", me));
  const others = (approvals?.length ?? 0) - (mine?.length ?? 0);
  return (
    <Tile to="/inbox" name="Waiting for me" value={mine?.length} tone={mine?.length ? "text-accent" : ""}>
      {mine?.[0] ? (
        <>
          oldest <Ago at={mine[0].since} />
          {others > 0 ? `, ${others.toLocaleString("en-US")} for others` : ""}
        </>
      ) : others > 0 ? (
        `${counted(others, "question")} for others`
      ) : (
        "nothing waits"
      )}
    </Tile>
  );
}

function FailedTile({ totals }: { totals?: RunTotalsView }) {
  const of = TROUBLES.map((phase) => ({ phase, runs: totals?.phases[phase] ?? 0 })).filter((trouble) => trouble.runs > 0);
  const failing = of.reduce((sum, trouble) => sum + trouble.runs, 0);
  const words = of.length > 1 ? `${of.map((trouble) => `${trouble.runs.toLocaleString("en-US")} ${look(trouble.phase).words}`).join(", ")} of ` : "of ";
  return (
    <Tile to="/runs" search={{ phase: of[0]?.phase ?? "failed" }} name="Failed in 24 hours" value={totals && failing.toLocaleString("en-US")} tone={failing ? "text-bad" : ""}>
      {totals ? `${words}${counted(totals.runs, "run")}` : "counting"}
    </Tile>
  );
}

function OpenTile({ totals }: { totals?: RunTotalsView }) {
  return (
    <Tile to="/runs" search={{ phase: "running" }} name="Open, of 24 hours" value={totals?.open.toLocaleString("en-US")}>
      {totals ? `${(totals.phases.succeeded ?? 0).toLocaleString("en-US")} succeeded` : "counting"}
    </Tile>
  );
}

function SpentTile() {
  const projects = useSpend().data;
  const budget = projects && budgetOf(projects);
  return (
    <Tile to="/admin" search={{ tab: "projects" }} name="Spent today (UTC)" value={projects && money(spendToday(projects))} tone={budget?.over ? "text-bad" : ""}>
      {budget?.words ?? "no project has a budget"}
    </Tile>
  );
}

function SitesTile({ sites }: { sites?: SiteView[] }) {
  const unwell = (sites ?? []).filter((site) => site.state !== "open");
  return (
    <Tile to="/sites" name="Sites open" value={sites ? `${sites.length - unwell.length} of ${sites.length}` : undefined} tone={unwell.length ? "text-warn" : ""}>
      {unwell.length ? unwell.map((site) => `${site.name} ${site.state}`).join(", ") : "all take work"}
    </Tile>
  );
}

const counted = (amount: number, noun: string) => `${amount.toLocaleString("en-US")} ${amount === 1 ? noun : `${noun}s`}`;

type TileProps = {
  to: "/inbox" | "/runs" | "/sites" | "/admin";
  search?: { phase?: string; tab?: string };
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
