// Decisions of people: what waits, the evidence beside the form, and keys for those who decide many.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { post, segment } from "../api/client";
import { useApprovals, useApprovalsOf, useMe, useMoreApprovals } from "../api/queries";
import type { ApprovalView, Assignment, MeView, PersonView } from "../api/types";
import { durationMs, seconds } from "../lib/format";
import { useKeys } from "../lib/keys";
import { Ago, Button, Card, Empty, Failed, Loading, PageHead, RunLink, useNow, Working } from "../ui/kit";
import { Dialog } from "../ui/dialog";
import { Withheld } from "../ui/withheld";
import { Form, initial, missing, type FormValue } from "../ui/form";
import { Value } from "../ui/value";

const keyOf = (approval: ApprovalView) => `${approval.run} ${approval.action}`;

export function InboxPage() {
  const approvals = useApprovals();
  const more = useMoreApprovals();
  const me = useMe();
  const { run, action, of = "all" } = useSearch({ from: "/inbox" });
  const navigate = useNavigate({ from: "/inbox" });
  const everything = approvals.data ?? [];
  const all = everything.filter((approval) => isFor(approval, of, me.data));
  // A link to a question leads to it, whatever is listed.
  const meant = (approval: ApprovalView) => approval.run === run && approval.action === action;
  const listed = everything.find(meant);
  const further = useApprovalsOf(run, more && listed === undefined);
  const first = run ? undefined : all[0];
  const chosen = listed ?? further.data?.find(meant) ?? first;
  const choose = (approval: ApprovalView | undefined) =>
    void navigate({ search: (old) => ({ of: old.of, ...(approval ? { run: approval.run, action: approval.action } : {}) }), replace: true });
  useTriageKeys(all, chosen, choose);
  // What is shown is meant from then on: when somebody else answers it, no other question takes its place under the finger.
  useEffect(() => (first ? void navigate({ search: (old) => ({ ...old, run: first.run, action: first.action }), replace: true }) : undefined), [first && keyOf(first)]);
  if (approvals.error && !approvals.data) return <Failed error={approvals.error} retry={() => void approvals.refetch()} />;
  if (approvals.isPending) return <Loading what="the inbox" />;
  return (
    <>
      <PageHead title="Inbox">
        <span className="text-soft">
          {TRIAGE.map(([key, does]) => (
            <span key={key} className="ml-3 whitespace-nowrap">
              <kbd className="font-mono">{key}</kbd> {does}
            </span>
          ))}
        </span>
      </PageHead>
      <div role="group" aria-label="Whose questions" className="mb-4 flex gap-1">
        {(["mine", "groups", "all"] as const).map((whose) => (
          <button key={whose} type="button" aria-pressed={of === whose} onClick={() => void navigate({ search: { of: whose }, replace: true })} className={`rounded-md border px-3 py-1 ${of === whose ? "border-accent bg-sunken" : "border-line text-soft"}`}>
            {WHOSE[whose]} <span className="text-faint">{everything.filter((approval) => isFor(approval, whose, me.data)).length}</span>
          </button>
        ))}
        {me.data ? (
          <span className="ml-3 self-center text-soft">
            You are {me.data.name}
            {me.data.groups.length > 0 ? `, of ${me.data.groups.join(", ")}` : ""}.
          </span>
        ) : null}
      </div>
      {all.length === 0 && !run ? (
        <Card>
          <Empty title={more ? "None of the first questions is in this list" : "Nothing waits for a person"} example={more ? undefined : "ask"}>
            {more ? (
              `None of the ${everything.length.toLocaleString()} that have waited for the longest does. More wait than these: they come up as those are answered.`
            ) : (
              <>
                When a workflow reaches a <code className="font-mono">human</code> node, its question stands here with the evidence beside it.
              </>
            )}
          </Empty>
        </Card>
      ) : (
        <div className="grid grid-cols-1 gap-4 lg:grid-cols-[340px_minmax(0,1fr)]">
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
                      {approval.first_by ? <> · {approval.first_by === me.data?.name ? "waits for a second person" : `${approval.first_by} has decided`}</> : null}
                      <Next approval={approval} />
                    </span>
                  </button>
                </li>
              ))}
            </ul>
            {more ? <p className="border-t border-line px-4 py-2 text-soft">More wait than these {everything.length.toLocaleString()}, which have waited for the longest: the next ones come up as these are answered.</p> : null}
          </Card>
          {chosen ? (
            <Decision key={keyOf(chosen)} approval={chosen} me={me.data} />
          ) : further.isLoading ? (
            <Loading what="the question" />
          ) : (
            <Card>
              <Empty title="This question is answered">
                {run ? (
                  <>
                    It no longer waits. What was decided stands in <RunLink name={run}>the run</RunLink>.
                    {all[0] ? (
                      <span className="mt-4 block">
                        <Button onClick={() => choose(all[0])}>The next question</Button>
                      </span>
                    ) : null}
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

/** The keys of the inbox, as its head says them; the map of keys has the same. */
const TRIAGE = [["j", "next"], ["k", "previous"], ["f", "form"], ["a", "approve"], ["m", "amend"], ["r", "reject"], ["d", "delegate"]] as const;

const WHOSE = { mine: "Mine", groups: "My groups'", all: "All" } as const;

/** Everybody who is asked by now: with each step of escalation there are more. */
export function asked(approval: Pick<ApprovalView, "assign" | "escalated">): { users: string[]; groups: string[] } {
  const offers = [approval.assign ?? {}, ...(approval.assign?.then ?? []).slice(0, approval.escalated ?? 0)];
  return { users: offers.flatMap((offer) => offer.users ?? []), groups: offers.flatMap((offer) => offer.groups ?? []) };
}

/** Whether a question stands in a list: asked of me by name, of a group of mine, or any. What is asked of nobody is asked of everybody. */
export function isFor(approval: Pick<ApprovalView, "assign" | "escalated">, whose: string, me: MeView | undefined): boolean {
  if (whose === "all" || !me) return true;
  const { users, groups } = asked(approval);
  if (whose === "mine") return users.includes(me.name);
  return groups.some((group) => me.groups.includes(group)) || users.length + groups.length === 0;
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
    d: focus("[data-decide=delegate]"),
  });
}

/** The field in which each of two people says why, in their own words. */
const REMARK = "comment";

/** What the first of two people gave, as far as the second is to agree with it; nothing before they did. */
export function agreed(approval: Pick<ApprovalView, "first_by" | "first_form" | "form">): FormValue {
  if (!approval.first_by || typeof approval.first_form !== "object" || approval.first_form === null) return {};
  const fields = Object.keys(approval.form?.properties ?? {}).filter((name) => name !== REMARK);
  const given = approval.first_form as FormValue;
  return Object.fromEntries(fields.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]));
}

/** A form that begins as the question says and, where somebody has decided already, with what they gave. What was typed meanwhile stays. */
function useForm(approval: ApprovalView): [FormValue, (values: FormValue) => void] {
  const begun = initial(approval.form);
  const [values, setValues] = useState<FormValue>(() => ({ ...begun, ...agreed(approval) }));
  useEffect(() => {
    const given = Object.entries(agreed(approval));
    setValues((old) => ({ ...old, ...Object.fromEntries(given.filter(([name]) => old[name] === begun[name])) }));
  }, [approval.first_by]);
  return [values, setValues];
}

function Decision({ approval, me }: { approval: ApprovalView; me: MeView | undefined }) {
  const queries = useQueryClient();
  const [values, setValues] = useForm(approval);
  const mine = me !== undefined && approval.first_by === me.name;
  const decide = useMutation({
    mutationFn: ({ decision, reason = "" }: { decision: string; reason?: string }) =>
      post(`/api/v1/runs/${segment(approval.run)}/decision?path=${encodeURIComponent(approval.action)}`, { decision, form: values, ...(reason ? { reason } : {}) }),
    onSuccess: () => queries.invalidateQueries(),
  });
  const lacking = missing(approval.form, values);
  const { delegate: handing, reject: rejecting } = useSearch({ from: "/inbox" });
  const navigate = useNavigate({ from: "/inbox" });
  const ask = (open: { delegate?: true; reject?: true }) =>
    void navigate({ search: (old) => ({ of: old.of, run: approval.run, action: approval.action, ...open }), replace: Object.keys(open).length === 0 });
  // That the evidence was on this screen is part of the record.
  useEffect(() => {
    if (!approval.withheld) void post(`/api/v1/runs/${segment(approval.run)}/seen?path=${encodeURIComponent(approval.action)}`).catch(() => {});
  }, [approval.run, approval.action, approval.withheld]);
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
          {approval.withheld ? <Withheld what={approval.withheld} /> : approval.show === null || approval.show === undefined ? <p className="text-soft">The workflow shows none.</p> : <Value value={approval.show} />}
        </div>
        <div data-decision>
          <h3 className="mb-2 font-semibold">Decision</h3>
          <Assigned assign={approval.assign} since={approval.since} />
          {approval.second ? (
            <p className="mb-3 rounded-md border border-line px-3 py-2">
              {mine ? (
                <>
                  <strong className="font-semibold">You have decided.</strong> It waits for a second person, and goes on when they agree.
                </>
              ) : approval.first_by ? (
                <>
                  <strong className="font-semibold">{approval.first_by}</strong> {DID[firstDecision(approval)] ?? "has decided"}. A second person decides now: approve to agree with what they gave, or amend it, and another person decides about that.
                </>
              ) : (
                "Two persons decide: this one and another."
              )}
            </p>
          ) : null}
          {approval.form?.properties ? <Form schema={approval.form} values={values} onChange={setValues} /> : null}
          <div className="mt-4 flex flex-wrap gap-2">
            <Button data-decide="approve" look="primary" disabled={mine || decide.isPending || lacking.length > 0} onClick={() => decide.mutate({ decision: "approve" })}>
              Approve
            </Button>
            <Button data-decide="amend" disabled={mine || decide.isPending || lacking.length > 0} onClick={() => decide.mutate({ decision: "amend" })} title="yes, with the changes in the form">
              Amend
            </Button>
            <Button data-decide="reject" look="danger" disabled={mine || decide.isPending} onClick={() => ask({ reject: true })} aria-haspopup="dialog">
              Reject
            </Button>
            <Button data-decide="delegate" onClick={() => ask({ delegate: true })} aria-haspopup="dialog">
              Delegate
            </Button>
          </div>
          {lacking.length > 0 && !mine ? <p className="mt-2 text-soft">To fill in first: {lacking.map((name) => approval.form?.properties?.[name]?.title ?? name).join(", ")}</p> : null}
          {decide.isPending ? <Working what="Deciding" className="mt-2" /> : null}
          {decide.error && !rejecting ? <Failed error={decide.error} /> : null}
          <People people={approval.people ?? []} />
          {handing ? <Delegate approval={approval} onClose={() => ask({})} /> : null}
          {rejecting && !mine ? (
            <Reject title={approval.title || approval.action} pending={decide.isPending} error={decide.error} onReject={(reason) => decide.mutate({ decision: "reject", reason })} onClose={() => ask({})} />
          ) : null}
        </div>
      </div>
    </Card>
  );
}

type RejectProps = { title: string; pending: boolean; error: unknown; onReject: (reason: string) => void; onClose: () => void };

/** A question is answered for good by a no: it is asked once more, with why. */
function Reject({ title, pending, error, onReject, onClose }: RejectProps) {
  const [reason, setReason] = useState("");
  return (
    <Dialog title={`Reject: ${title}`} onClose={onClose}>
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          onReject(reason.trim());
        }}
      >
        <label className="block">
          <span className="mb-1 block text-soft">Why</span>
          <textarea autoFocus rows={3} value={reason} onChange={(event) => setReason(event.target.value)} className="w-full rounded-md border border-edge bg-surface px-3 py-1.5" />
        </label>
        <p className="text-soft">It is recorded with the decision. The workflow goes on with the answer no, and what stands in the form.</p>
        {pending ? <Working what="Rejecting" /> : null}
        {error ? <Failed error={error} /> : null}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Leave it</Button>
          <Button look="danger" type="submit" disabled={pending || reason.trim() === ""}>
            Reject it
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** What the first of two people decided. */
function firstDecision(approval: ApprovalView): string {
  const given = approval.first_form as { decision?: unknown } | null | undefined;
  return typeof given?.decision === "string" ? given.decision : "";
}

const DID: Record<string, string> = { saw: "saw it", approve: "approved", amend: "approved with changes", reject: "rejected" };

/** What people did about a question: each line is an entry of the audit log. */
function People({ people }: { people: PersonView[] }) {
  if (people.length === 0) return null;
  return (
    <section className="mt-4 border-t border-line pt-3">
      <h3 className="mb-1 font-semibold">Who saw and did what</h3>
      <ul className="space-y-1">
        {people.map((person) => (
          <li key={person.entry}>
            {person.by} {person.did === "delegated" ? `handed it to ${person.to?.join(", ")}` : (DID[person.did] ?? person.did)} <span className="text-soft"><Ago at={person.at} /></span>
            {person.reason ? <span className="block text-soft">{person.reason}</span> : null}
          </li>
        ))}
      </ul>
    </section>
  );
}

const names = (text: string) => text.split(/[\s,]+/).filter((name) => name !== "");

function Delegate({ approval, onClose }: { approval: ApprovalView; onClose: () => void }) {
  const queries = useQueryClient();
  const [users, setUsers] = useState("");
  const [groups, setGroups] = useState("");
  const [reason, setReason] = useState("");
  const given = useMutation({
    mutationFn: () => post(`/api/v1/runs/${segment(approval.run)}/delegate?path=${encodeURIComponent(approval.action)}`, { users: names(users), groups: names(groups), reason }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["approvals"] }).then(onClose),
  });
  const field = "w-full rounded-md border border-edge bg-surface px-3 py-1.5";
  return (
    <Dialog title="Hand the question to others" onClose={onClose}>
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          given.mutate();
        }}
      >
        <p className="text-soft">They are asked instead of those who are asked now. Its escalation goes on.</p>
        <label className="block">
          <span className="mb-1 block text-soft">People</span>
          <input autoFocus className={field} value={users} onChange={(event) => setUsers(event.target.value)} placeholder="tom, ann" />
        </label>
        <label className="block">
          <span className="mb-1 block text-soft">Groups</span>
          <input className={field} value={groups} onChange={(event) => setGroups(event.target.value)} placeholder="radiology-leads" />
        </label>
        <label className="block">
          <span className="mb-1 block text-soft">Why</span>
          <textarea rows={2} className={field} value={reason} onChange={(event) => setReason(event.target.value)} />
        </label>
        {given.error ? <Failed error={given.error} /> : null}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Leave it</Button>
          <Button look="primary" type="submit" disabled={given.isPending || reason.trim() === "" || names(users).length + names(groups).length === 0}>
            Hand it on
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** When further people will be asked, in a list. */
function Next({ approval }: { approval: ApprovalView }) {
  const now = useNow(1000);
  const left = (approval.assign?.then ?? []).map((step) => (Date.parse(approval.since) + durationMs(step.after) - now) / 1000).find((seconds) => seconds > 0);
  return left === undefined ? null : <> · escalates in {seconds(left)}</>;
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
