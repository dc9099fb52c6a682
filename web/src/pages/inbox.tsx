// Decisions of people: what waits, the evidence beside the form, and keys for those who decide many.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";

import { post, segment } from "../api/client";
import { useApprovals } from "../api/queries";
import type { ApprovalView, Assignment } from "../api/types";
import { durationMs, seconds } from "../lib/format";
import { useKeys } from "../lib/keys";
import { Ago, Button, Card, Empty, Failed, Loading, PageHead, RunLink, useNow } from "../ui/kit";
import { Form, initial, missing, type FormValue } from "../ui/form";
import { Value } from "../ui/value";

const keyOf = (approval: ApprovalView) => `${approval.run} ${approval.action}`;

export function InboxPage() {
  const approvals = useApprovals();
  const { run, action } = useSearch({ from: "/inbox" });
  const navigate = useNavigate({ from: "/inbox" });
  const all = approvals.data ?? [];
  const chosen = all.find((approval) => approval.run === run && approval.action === action) ?? (run ? undefined : all[0]);
  const choose = (approval: ApprovalView | undefined) =>
    void navigate({ search: approval ? { run: approval.run, action: approval.action } : {}, replace: true });
  useTriageKeys(all, chosen, choose);
  if (approvals.error) return <Failed error={approvals.error} retry={() => void approvals.refetch()} />;
  if (approvals.isPending) return <Loading what="the inbox" />;
  return (
    <>
      <PageHead title="Inbox">
        <span className="text-soft">
          <kbd className="font-mono">j</kbd> next · <kbd className="font-mono">k</kbd> previous
        </span>
      </PageHead>
      {all.length === 0 && !run ? (
        <Card>
          <Empty title="Nothing waits for a person">
            When a workflow reaches a <code className="font-mono">human</code> node, its question stands here with the evidence beside it.
          </Empty>
        </Card>
      ) : (
        <div className="grid gap-4 lg:grid-cols-[340px_minmax(0,1fr)]">
          <Card title={`${all.length} waiting`}>
            <ul>
              {all.map((approval) => (
                <li key={keyOf(approval)}>
                  <button
                    type="button"
                    onClick={() => choose(approval)}
                    aria-current={approval === chosen}
                    className={`w-full border-b border-line px-4 py-3 text-left last:border-0 hover:bg-surface ${approval === chosen ? "bg-sunken" : ""}`}
                  >
                    <span className="block font-medium">{approval.title || approval.action}</span>
                    <span className="mt-0.5 block text-soft">
                      {approval.run} · <Ago at={approval.since} />
                    </span>
                  </button>
                </li>
              ))}
            </ul>
          </Card>
          {chosen ? (
            <Decision key={keyOf(chosen)} approval={chosen} />
          ) : (
            <Card>
              <Empty title="This question is answered">
                {run ? (
                  <>
                    It no longer waits. What was decided stands in <RunLink name={run}>the run</RunLink>.
                  </>
                ) : null}
              </Empty>
            </Card>
          )}
        </div>
      )}
    </>
  );
}

/** Letters lead to what decides and do not decide by themselves: a slip of the finger approves nothing. */
function useTriageKeys(all: ApprovalView[], chosen: ApprovalView | undefined, choose: (approval: ApprovalView) => void) {
  const step = (by: number) => () => {
    const next = all[all.findIndex((approval) => approval === chosen) + by];
    if (next) choose(next);
  };
  const focus = (selector: string) => (event: KeyboardEvent) => {
    event.preventDefault();
    document.querySelector<HTMLElement>(selector)?.focus();
  };
  useKeys({
    j: step(1),
    k: step(-1),
    f: focus("[data-decision] :is(input, textarea, select)"),
    a: focus("[data-decide=approve]"),
    m: focus("[data-decide=amend]"),
    r: focus("[data-decide=reject]"),
  });
}

function Decision({ approval }: { approval: ApprovalView }) {
  const queries = useQueryClient();
  const [values, setValues] = useState<FormValue>(() => initial(approval.form));
  const decide = useMutation({
    mutationFn: (decision: string) =>
      post(`/api/v1/runs/${segment(approval.run)}/decision?path=${encodeURIComponent(approval.action)}`, { decision, form: values }),
    onSuccess: () => queries.invalidateQueries(),
  });
  const lacking = missing(approval.form, values);
  return (
    <Card
      title={approval.title || approval.action}
      aside={
        <span>
          <RunLink name={approval.run} /> · waits since <Ago at={approval.since} />
        </span>
      }
    >
      <div className="grid gap-6 p-4 xl:grid-cols-[minmax(0,1fr)_360px]">
        <div>
          <h3 className="mb-2 font-semibold">Evidence</h3>
          {approval.show === null || approval.show === undefined ? <p className="text-soft">The workflow shows none.</p> : <Value value={approval.show} />}
        </div>
        <div data-decision>
          <h3 className="mb-2 font-semibold">Decision</h3>
          <Assigned assign={approval.assign} since={approval.since} />
          {approval.second ? (
            <p className="mb-3 rounded-md border border-line px-3 py-2">
              {approval.first_by ? (
                <>
                  <strong className="font-semibold">{approval.first_by}</strong> has decided. A second person decides now.
                </>
              ) : (
                "Two persons decide: this one and another."
              )}
            </p>
          ) : null}
          {approval.form?.properties ? <Form schema={approval.form} values={values} onChange={setValues} /> : null}
          <div className="mt-4 flex flex-wrap gap-2">
            <Button data-decide="approve" look="primary" disabled={decide.isPending || lacking.length > 0} onClick={() => decide.mutate("approve")}>
              Approve
            </Button>
            <Button data-decide="amend" disabled={decide.isPending || lacking.length > 0} onClick={() => decide.mutate("amend")} title="yes, with the changes in the form">
              Amend
            </Button>
            <Button data-decide="reject" look="danger" disabled={decide.isPending} onClick={() => decide.mutate("reject")}>
              Reject
            </Button>
          </div>
          {lacking.length > 0 ? <p className="mt-2 text-soft">To fill in first: {lacking.join(", ")}</p> : null}
          {decide.error ? <Failed error={decide.error} /> : null}
        </div>
      </div>
    </Card>
  );
}

/** Who is asked now, and when who else will be: escalation is part of the workflow, and its clock runs. */
function Assigned({ assign, since }: { assign: Assignment; since: string }) {
  const now = useNow(1000);
  const names = [...(assign?.users ?? []), ...(assign?.groups ?? []).map((group) => `group ${group}`)];
  return (
    <div className="mb-3 text-soft">
      <p>Asked of {names.length > 0 ? names.join(", ") : "everybody"}.</p>
      {(assign?.then ?? []).map((step) => {
        const left = (Date.parse(since) + durationMs(step.after) - now) / 1000;
        const others = [...(step.users ?? []), ...(step.groups ?? []).map((group) => `group ${group}`)].join(", ");
        return (
          <p key={`${step.after} ${others}`} className={left > 0 ? "" : "text-warn"}>
            {left > 0 ? `In ${seconds(left)} ${others} will be asked too.` : `Also asked of ${others}, since it has waited ${step.after}.`}
          </p>
        );
      })}
    </div>
  );
}
