// The head of a run: where it stands, what it has cost and will, when it will be done, what it waits for, and what its end hangs on.

import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { useOutlook } from "../../api/queries";
import type { MomentView, OutlookView, RunOutlookView, RunView, WaitView } from "../../api/types";
import { money, moment, seconds } from "../../lib/format";
import { between, inAll, inTime, isOpenEnded, WAIT_PLACES, waitWords } from "../../lib/outlook";
import { isOver, look } from "../../lib/phases";
import { Said, Stamp } from "../../ui/kit";

/** Reasons that are listed; a run that waits for more different things than these says how many. */
const WAITS_SHOWN = 5;
/** Nodes of the critical path that are named at its beginning and its end. */
const STEPS_SHOWN = 8;

type Props = { run: RunView; now: number; open: (path: string) => void };

export function RunHeader({ run, now, open }: Props) {
  const over = isOver(run.phase);
  const then = run.moment ?? undefined;
  // Of a moment that has passed nothing is foretold: what came of it is known.
  const outlook = useOutlook(run, !over, then === undefined).data;
  const come = over || then ? undefined : (outlook?.to_come ?? undefined);
  const running = then ? then.running : outlook?.running;
  const waits = then ? then.waits : (outlook?.waits ?? []);
  const took = run.finished_at ? run.seconds : (now - Date.parse(run.submitted_at)) / 1000;
  const simulated = new Set((outlook?.sites ?? []).filter((site) => site.simulates).map((site) => site.name));
  const sites = (then ? then.sites : (outlook?.sites ?? []).map((site) => site.name)).map((site) => (simulated.has(site) ? `${site} (simulated)` : site));
  return (
    <section aria-label="Where the run stands" className="mb-4 rounded-lg border border-line bg-raised">
      <dl className="flex flex-wrap gap-x-10 gap-y-2 px-4 py-3">
        <Fact name="Started">
          <Stamp at={run.submitted_at} />
        </Fact>
        <Fact name={over ? "Took" : then ? "Had run for" : "Runs since"}>{seconds(Math.max(0, took))}</Fact>
        <Fact name="Actions">
          {run.actions_done.toLocaleString()} of {run.actions_total.toLocaleString()} done{!over && running !== undefined ? `, ${running.toLocaleString()} running` : ""}
        </Fact>
        <Fact name={over ? "Cost" : then ? "Cost by then" : "Cost so far"}>{money(run.cost)}</Fact>
        {come ? (
          <>
            <Fact name="To the end" why="the median, and between what nine of ten futures lie, as tasks took before">
              {between(come.ends_in_s, seconds)}
              {isOpenEnded(outlook?.waits ?? []) ? <span className="text-soft"> once what it waits for has come</span> : null}
            </Fact>
            <Fact name="Cost in all" why="what it has cost, and the median of what is to come">
              {between(inAll(run.cost, come.cost), money)}
            </Fact>
          </>
        ) : null}
        {outlook?.deadline ? <Deadline deadline={outlook.deadline} run={run} come={come} now={now} /> : null}
        <Fact name="Sites">{sites.join(", ") || (outlook ? "none yet" : "…")}</Fact>
      </dl>
      {then ? <Then then={then} /> : null}
      {over ? null : <Waits waits={waits} now={now} run={run} open={open} />}
      {come && come.critical_path.length > 0 ? <Path come={come} outlook={outlook!} open={open} run={run} /> : null}
    </section>
  );
}

/** How actions stood at a moment that has passed. */
function Then({ then }: { then: MomentView }) {
  const phases = Object.entries(then.phases).sort(([, a], [, b]) => b - a);
  return (
    <p aria-label="How actions stood then" role="group" className="border-t border-line px-4 py-2.5">
      As it was at <Stamp at={then.at} />, after entry {then.position.toLocaleString()} of the journal
      {phases.length > 0 ? `: ${phases.map(([phase, count]) => `${count.toLocaleString()} ${look(phase).words}`).join(", ")}` : ""}.
    </p>
  );
}

function Fact({ name, why, children }: { name: string; why?: string; children: ReactNode }) {
  return (
    <div title={why}>
      <dt className="text-soft">{name}</dt>
      <dd className="font-medium">{children}</dd>
    </div>
  );
}

function Deadline({ deadline, run, come, now }: { deadline: string; run: RunView; come?: OutlookView; now: number }) {
  const late = Date.parse(deadline) < (run.finished_at ? Date.parse(run.finished_at) : now);
  const by = run.finished_at ? Math.abs(Date.parse(run.finished_at) - Date.parse(deadline)) / 1000 : 0;
  return (
    <Fact name="Deadline" why={moment(deadline)}>
      <span className={late ? "text-bad" : ""}>
        {run.finished_at ? (late ? `✕ missed by ${seconds(by)}` : `● kept, with ${seconds(by)} to spare`) : late ? `✕ passed ${inTime(deadline, now)}` : inTime(deadline, now)}
      </span>
      {come?.p_late !== undefined && come.p_late !== null && !late ? <span className="text-soft"> · missed in {Math.round(come.p_late * 100)} of 100 futures</span> : null}
    </Fact>
  );
}

function Waits({ waits, now, run, open }: { waits: WaitView[]; now: number; run: RunView; open: (path: string) => void }) {
  if (waits.length === 0) return null;
  return (
    <ul aria-label="What it waits for" className="space-y-1 border-t border-line px-4 py-2.5">
      {waits.slice(0, WAITS_SHOWN).map((wait) => (
        <li key={`${wait.kind} ${wait.words}`} className="flex flex-wrap items-baseline gap-x-3">
          <span aria-hidden className="text-warn">
            {wait.kind === "resume" ? "‖" : wait.kind === "person" ? "◇" : "◌"}
          </span>
          <span className="min-w-0 break-words">
            <Said text={waitWords(wait, now)} />
          </span>
          {wait.first ? (
            <button type="button" onClick={() => open(wait.first!)} className="text-accent hover:underline">
              look at {wait.actions === 1 ? "it" : "the first"}
            </button>
          ) : null}
          {run.moment ? null : <Do wait={wait} run={run} />}
        </li>
      ))}
      {waits.length > WAITS_SHOWN ? <li className="text-soft">and for {waits.length - WAITS_SHOWN} other things</li> : null}
    </ul>
  );
}

/** The way to where something can be done about it. */
function Do({ wait, run }: { wait: WaitView; run: RunView }) {
  const place = WAIT_PLACES[wait.kind];
  if (!place) return null;
  const look = "text-accent hover:underline";
  if (place.to === "/inbox") {
    return (
      <Link to="/inbox" search={{ run: run.name, action: wait.first }} className={look}>
        open the question
      </Link>
    );
  }
  if (place.to === "/governance") {
    return (
      <Link to="/governance" search={{ tab: "ask" }} className={look}>
        {place.words}
      </Link>
    );
  }
  return (
    <Link to={place.to} className={look}>
      {place.words}
    </Link>
  );
}

/** The chain of nodes that decides the end, and what has time. */
function Path({ come, outlook, open, run }: { come: OutlookView; outlook: RunOutlookView; open: (path: string) => void; run: RunView }) {
  const known = new Set((run.actions ?? []).map((action) => action.path));
  const steps = come.critical_path;
  const cut = steps.length > STEPS_SHOWN;
  const shown = cut ? [...steps.slice(0, STEPS_SHOWN - 2), ...steps.slice(-2)] : steps;
  const slack = Object.entries(come.slack_s)
    .filter(([, spare]) => spare > 0)
    .sort(([, a], [, b]) => a - b);
  return (
    <details className="border-t border-line px-4 py-2.5">
      <summary className="cursor-pointer text-soft">
        The end hangs on {steps.at(-1)!.path}, behind {steps.length - 1} other {steps.length === 2 ? "node" : "nodes"}
        {slack.length > 0 ? `; ${slack.length} ${slack.length === 1 ? "has" : "have"} time` : ""}
      </summary>
      <ol aria-label="Critical path" className="mt-2 flex flex-wrap items-center gap-1.5">
        {shown.map((step, index) => (
          <li key={step.path} className="flex items-center gap-1.5">
            {index > 0 ? <span aria-hidden className="text-faint">{cut && index === STEPS_SHOWN - 2 ? "→ … →" : "→"}</span> : null}
            <span className="rounded-md border border-line px-2 py-0.5">
              {known.has(step.path) ? (
                <button type="button" onClick={() => open(step.path)} className="text-accent hover:underline">
                  {step.path}
                </button>
              ) : (
                step.path
              )}{" "}
              <span className="text-soft">{seconds(step.seconds)}</span>
              {outlook.places?.[step.path] ? <span className="text-faint"> at {outlook.places[step.path]}</span> : null}
            </span>
          </li>
        ))}
      </ol>
      {slack.length > 0 ? (
        <p className="mt-2 text-soft">
          Slack: {slack.slice(0, 12).map(([path, spare]) => `${path} may be ${seconds(spare)} late`).join(", ")}
          {slack.length > 12 ? `, and ${slack.length - 12} more have more` : ""}. The end would be the same.
        </p>
      ) : null}
    </details>
  );
}
