// Facts of the journal as a list, each of which can be proved: the proof is computed here, not believed.

import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { verifyEntry, type Fact } from "../api/audit";
import { Stamp } from "./kit";
import { Save } from "./save";

/** What each kind of fact says. */
export const WORDS: Record<string, string> = {
  run_submitted: "the run was submitted",
  actions_opened: "opened",
  actions_placed: "placed",
  actions_parked: "no site has room, or may take it",
  attempt_started: "an attempt began",
  attempt_finished: "an attempt ended",
  action_finished: "ended",
  human_decided: "a person decided",
  human_escalated: "asked further people",
  human_delegated: "a person handed the question on",
  human_seen: "a person saw the question",
  run_finished: "the run ended",
  run_paused: "the run was paused",
  run_resumed: "the run goes on",
  run_cancel_requested: "somebody cancelled the run",
  epoch_began: "the server started",
  site_registered: "a site was registered",
  site_removed: "a site was removed",
  site_cordoned: "a site takes no new work",
  site_uncordoned: "a site takes work again",
  site_drained: "a site is being emptied",
  site_health_changed: "a site's health changed",
  pool_sized: "places of a site are kept started",
  resource_applied: "applied",
  resource_deleted: "deleted",
  trigger_fired: "a trigger fired",
  bodies_pruned: "old values were destroyed",
  signal_received: "a signal came",
  run_labelled: "what its data carries was counted",
  run_planned: "where its steps would go was planned",
  recall_missed: "there was no earlier output to take over",
  output_kept: "its output was kept to be taken over",
  nodes_skipped: "nodes were left out",
  child_opened: "a running action asked for another",
  ticket_issued: "a ticket was signed",
  artifacts_labelled: "artifacts got the tags that they carry",
  action_stop_requested: "was asked to stop by what had asked for it",
  cancel_requested: "what runs was asked to stop",
  compensation_started: "what was done is being undone",
  data_erased: "values were destroyed for good",
  egress_decided: "whether it may talk to the world was decided",
  network_used: "what it said to the world was counted",
  recall_asked: "an earlier output was looked for",
  report_ignored: "a report came too late and changed nothing",
  retry_due: "it is time to try again",
  run_began: "the run began",
  run_failing: "the run is failing",
  secrets_released: "secrets were handed to an attempt",
};

/** One line of what a fact says. */
export function saying(fact: Fact): string {
  const data = fact.data as Record<string, unknown>;
  const parts = [WORDS[fact.event] ?? fact.event.replaceAll("_", " ")];
  if (typeof data.name === "string") parts.push(data.name);
  const paths = Array.isArray(data.paths) ? data.paths.slice(0, 4) : (fact.actions ?? []);
  const all = Array.isArray(data.paths) ? data.paths.length : Array.isArray(data.actions) ? data.actions.length : paths.length;
  if (paths.length > 0) parts.push(all > paths.length ? `${paths.join(", ")} and ${(all - paths.length).toLocaleString()} more` : paths.join(", "));
  if (typeof data.site === "string") parts.push(`at ${data.site}`);
  if (Array.isArray(data.to)) parts.push(`to ${data.to.join(", ")}`);
  if (typeof data.phase === "string") parts.push(data.phase.replaceAll("_", " "));
  if (Array.isArray(data.reused)) parts.push(`${data.reused.length} ${data.reused.length === 1 ? "output was" : "outputs were"} taken over from run ${String(data.repeats)}`);
  if (typeof data.reused_items === "number") parts.push(`what ${data.reused_items.toLocaleString()} ${data.reused_items === 1 ? "item" : "items"} gave may be taken over`);
  if (data.reused === true) parts.push("an earlier output was taken over");
  if (data.healthy !== undefined) parts.push(data.healthy ? "well" : "not well");
  return parts.join(" · ");
}

export function FactList({ facts, auditKey, withRun = true }: { facts: Fact[]; auditKey?: string; withRun?: boolean }) {
  return (
    <ol className="divide-y divide-line">
      {facts.map((fact) => {
        const data = fact.data as Record<string, unknown>;
        return (
          <li key={fact.seq} className="grid grid-cols-[4rem_13rem_minmax(0,1fr)_auto] items-baseline gap-x-4 px-4 py-1.5">
            <span className="text-right font-mono text-small text-faint">{fact.seq}</span>
            <Stamp at={String(data.at)} className="text-soft" />
            <span className="min-w-0 truncate" title={JSON.stringify(data)}>
              {saying(fact)}
              {typeof data.principal === "string" ? <span className="text-soft"> by {data.principal}</span> : null}
              {withRun && typeof data.run === "number" ? (
                <Link to="/runs/$run" params={{ run: fact.run ?? String(data.run) }} className="ml-2 text-accent underline">
                  {fact.run ?? `run ${data.run}`}
                </Link>
              ) : null}
            </span>
            {auditKey ? <Prove fact={fact} auditKey={auditKey} /> : null}
          </li>
        );
      })}
    </ol>
  );
}

function Prove({ fact, auditKey }: { fact: Fact; auditKey: string }) {
  const { seq } = fact;
  const prove = useMutation({ mutationFn: () => verifyEntry(fact, auditKey) });
  if (prove.data) {
    return (
      <span role="status" className={prove.data.ok ? "text-good" : "text-bad"} title={`${prove.data.why}${prove.data.unread?.length ? `; not read from it here: ${prove.data.unread.join(", ")}` : ""}`}>
        {prove.data.ok ? "● proved" : `✕ ${prove.data.why}`}
      </span>
    );
  }
  if (prove.error) return <span className="text-bad">✕ {prove.error.message}</span>;
  return (
    <span className="flex items-center gap-3">
      <button type="button" className="text-accent hover:underline" disabled={prove.isPending} onClick={() => prove.mutate()} aria-label={`Prove entry ${seq}`}>
        prove
      </button>
      <Save from={`/api/v1/audit/tlog-proof?seq=${seq}`} as={`entry-${seq}.tlog-proof`} className="text-soft hover:text-ink" title="the proof as a file that needs no server">
        file
      </Save>
    </span>
  );
}
