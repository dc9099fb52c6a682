// What if, of one run: prices, a deadline or rules are changed and the plan beside it changes with them. The run itself is not touched, and what is
// supposed stands in the address.

import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { get, post, segment } from "../../api/client";
import { useSites } from "../../api/queries";
import type { ResourceView, RunView, RunWhatIfView, SideView, SiteView } from "../../api/types";
import { money, moment, seconds } from "../../lib/format";
import { between, sums } from "../../lib/outlook";
import { Button, Failed, Loading, Said, Td, Th, Working } from "../../ui/kit";
import { Candidates, explanationOf } from "./candidates";
import { PRICES, supposeOf, withSite, type Price, type Suppose } from "./suppose";

/** A change is asked for when nothing more was changed for so long. */
const SETTLE_MS = 350;
const FIELD = "min-h-8 w-24 rounded-md border border-edge bg-surface px-2 text-right";
const NAMES: Record<Price, string> = { cpu_hour: "A core hour", memory_gib_hour: "A GiB hour", egress_gb: "A GB out" };

export function WhatIf({ run, action }: { run: RunView; action?: string }) {
  const { whatif } = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const [asked, setAsked] = useState<Suppose>(whatif ?? {});
  const settled = supposeOf(asked);
  const inAddress = JSON.stringify(whatif ?? null);
  const wanted = JSON.stringify(settled ?? null);
  // What is written goes to the address when it has settled; what the address says otherwise, after going back, is taken from there.
  const [sent, setSent] = useState(inAddress);
  useEffect(() => {
    if (wanted === sent) return;
    const timer = setTimeout(() => {
      setSent(wanted);
      void navigate({ search: (old) => ({ ...old, whatif: settled }), replace: true });
    }, SETTLE_MS);
    return () => clearTimeout(timer);
  }, [wanted, sent]);
  useEffect(() => {
    if (inAddress === sent) return;
    setSent(inAddress);
    setAsked(whatif ?? {});
  }, [inAddress]);
  return (
    <div>
      <p className="mb-3 text-soft">
        Change something: both sides are planned anew, as things are and as asked, and nothing of the run is touched.{" "}
        {settled ? (
          <Button className="ml-2" onClick={() => setAsked({})}>
            As it is
          </Button>
        ) : null}
      </p>
      <Sites asked={asked} onChange={setAsked} />
      <Deadline asked={asked} onChange={setAsked} />
      <Rules asked={asked} onChange={setAsked} />
      <Answer run={run} action={action} asked={whatif ?? {}} changed={whatif !== undefined} />
    </div>
  );
}

type Part = { asked: Suppose; onChange: (next: Suppose) => void };

function Sites({ asked, onChange }: Part) {
  const sites = useSites();
  if (sites.error && !sites.data) return <Failed error={sites.error} />;
  if (sites.isPending) return <Loading what="sites" />;
  return (
    <div className="overflow-x-auto rounded-md border border-line" role="region" aria-label="Sites as they would be" tabIndex={0}>
      <table className="w-full">
        <thead className="border-b border-line">
          <tr>
            <Th>Site</Th>
            {PRICES.map((price) => (
              <Th key={price} right>
                {NAMES[price]}
              </Th>
            ))}
            <Th>There</Th>
          </tr>
        </thead>
        <tbody>
          {sites.data.map((site) => (
            <SiteRow key={site.name} site={site} asked={asked} onChange={onChange} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function SiteRow({ site, asked, onChange }: Part & { site: SiteView }) {
  const change = asked.sites?.find((known) => known.site === site.name);
  return (
    <tr className="border-b border-line last:border-0">
      <Td>
        {site.name}
        {site.state === "open" ? null : <span className="ml-2 text-soft">{site.state}</span>}
      </Td>
      {PRICES.map((price) => (
        <Td key={price} right>
          <input
            type="number"
            min={0}
            step="any"
            aria-label={`${NAMES[price]} at ${site.name}`}
            placeholder={String(site[price])}
            value={change?.[price] ?? ""}
            disabled={change?.gone}
            onChange={(event) => onChange(withSite(asked, site.name, { [price]: event.target.value === "" ? undefined : Number(event.target.value) }))}
            className={FIELD}
          />
        </Td>
      ))}
      <Td>
        <input type="checkbox" aria-label={`${site.name} is there`} checked={!change?.gone} onChange={(event) => onChange(withSite(asked, site.name, { gone: !event.target.checked }))} className="size-4 accent-accent" />
      </Td>
    </tr>
  );
}

function Deadline({ asked, onChange }: Part) {
  const which = asked.no_deadline ? "none" : asked.deadline_s === undefined || asked.deadline_s === null ? "same" : "within";
  return (
    <div className="mt-3 flex flex-wrap items-center gap-3">
      <label className="flex items-center gap-2">
        <span className="text-soft">Deadline</span>
        <select
          value={which}
          onChange={(event) => {
            const { no_deadline: _none, deadline_s: _within, ...rest } = asked;
            onChange(event.target.value === "none" ? { ...rest, no_deadline: true } : event.target.value === "within" ? { ...rest, deadline_s: 600 } : rest);
          }}
          className="min-h-8 rounded-md border border-edge bg-surface px-2"
        >
          <option value="same">as asked for</option>
          <option value="none">none</option>
          <option value="within">so long after its acceptance</option>
        </select>
      </label>
      {which === "within" ? (
        <label className="flex items-center gap-2">
          <input type="number" min={0} step="any" value={asked.deadline_s! / 60} onChange={(event) => onChange({ ...asked, deadline_s: Math.max(0, Number(event.target.value) * 60) })} className={FIELD} aria-label="Minutes to the deadline" />
          <span className="text-soft">minutes</span>
        </label>
      ) : null}
      {which === "none" ? null : (
        <label className="flex items-center gap-2">
          <span className="text-soft">An hour late costs</span>
          <input
            type="number"
            min={0}
            step="any"
            placeholder="as it is"
            value={asked.late_per_hour ?? ""}
            onChange={(event) => onChange({ ...asked, late_per_hour: event.target.value === "" ? undefined : Number(event.target.value) })}
            className={FIELD}
          />
        </label>
      )}
    </div>
  );
}

const RULE = `kind: policy
name: nothing-in-the-cloud
cedar: |
  forbid (principal, action in Action::"place", resource)
  when { resource.zone == "cloud" };`;

function Rules({ asked, onChange }: Part) {
  const policies = useQuery({ queryKey: ["resources", "policy"], queryFn: ({ signal }) => get<ResourceView[]>("/api/v1/resources/policy", signal) });
  const without = new Set(asked.without ?? []);
  const text = asked.documents?.[0]?.text ?? "";
  return (
    <details className="mt-3" open={without.size > 0 || text !== ""}>
      <summary className="cursor-pointer text-soft">Other rules</summary>
      <div className="mt-2 space-y-3">
        {policies.data && policies.data.length > 0 ? (
          <fieldset>
            <legend className="text-soft">Without these policies</legend>
            <div className="mt-1 flex flex-wrap gap-x-5 gap-y-1">
              {policies.data.map((policy) => (
                <label key={policy.name} className="flex items-center gap-2">
                  <input
                    type="checkbox"
                    checked={without.has(policy.name)}
                    onChange={(event) => {
                      const next = new Set(without);
                      if (event.target.checked) next.add(policy.name);
                      else next.delete(policy.name);
                      onChange({ ...asked, without: [...next] });
                    }}
                    className="size-4 accent-accent"
                  />
                  <span className="font-mono text-code">{policy.name}</span>
                </label>
              ))}
            </div>
          </fieldset>
        ) : null}
        <label className="block">
          <span className="text-soft">With these tags, policies or sanitizers, as they would be applied; those of the same names are replaced</span>
          <textarea
            rows={7}
            spellCheck={false}
            placeholder={RULE}
            value={text}
            onChange={(event) => onChange({ ...asked, documents: event.target.value === "" ? [] : [{ path: "rules.yaml", text: event.target.value }] })}
            className="mt-1 w-full rounded-md border border-edge bg-surface p-2 font-mono text-code"
          />
        </label>
      </div>
    </details>
  );
}

function Answer({ run, action, asked, changed }: { run: RunView; action?: string; asked: Suppose; changed: boolean }) {
  const answer = useQuery({
    queryKey: ["whatif", run.name, run.phase, run.actions_done, action, asked],
    queryFn: ({ signal }) => post<RunWhatIfView>(`/api/v1/runs/${segment(run.name)}/whatif`, { ...asked, action }, signal),
    placeholderData: (old) => old,
    retry: false,
  });
  if (answer.error) return <Failed error={answer.error} />;
  if (answer.isPending) return <Loading what="the comparison" />;
  const { before, after, moved, limits } = answer.data;
  const [was, is] = [explanationOf(before.placement), explanationOf(after.placement)];
  return (
    <section aria-label="The plan as it is and as asked" aria-busy={answer.isFetching} className="mt-4 space-y-4">
      {answer.isFetching ? <Working what="Planning both sides anew" /> : null}
      <p role="status" className="font-medium">
        {changed ? told(answer.data) : "Nothing is changed yet: both sides are the same."}
      </p>
      <Sides before={before} after={after} />
      {moved.length > 0 ? (
        <ul aria-label="What would go elsewhere" className="space-y-1">
          {moved.map((node) => (
            <li key={node.path}>
              <span className="font-mono text-code">{node.path}</span>: {node.from ?? "nowhere"} → <strong className="font-semibold">{node.to ?? "nowhere"}</strong>
              {node.why ? <span className="text-soft"> · <Said text={node.why} /></span> : null}
            </li>
          ))}
        </ul>
      ) : null}
      {is ? <Candidates sites={is.sites} before={was?.sites} label={`Every site for ${action}, as asked`} /> : null}
      <details>
        <summary className="cursor-pointer text-soft">What such a comparison cannot know</summary>
        <ul className="mt-1 list-disc pl-5 text-soft">
          {limits.map((limit) => (
            <li key={limit}>{limit}</li>
          ))}
        </ul>
      </details>
    </section>
  );
}

/** The comparison in a sentence. */
function told({ before, after, moved }: RunWhatIfView): string {
  const nowhere = Object.keys(after.nowhere).length;
  const same = Object.keys(after.nowhere).every((path) => path in before.nowhere);
  if (nowhere > 0) return `${nowhere} ${nowhere === 1 ? "node" : "nodes"} ${same ? "would have no place either" : "would have no place: the run would wait"}.`;
  const elsewhere = moved.length === 0 ? "every node would stay where it is" : `${moved.length} ${moved.length === 1 ? "node" : "nodes"} would go elsewhere`;
  if (!before.to_come || !after.to_come) return `As asked, ${elsewhere}.`;
  return `As asked, ${[...sums(before.to_come, after.to_come), elsewhere].join(", ")}.`;
}

function Sides({ before, after }: { before: SideView; after: SideView }) {
  const rows: [string, (side: SideView) => string][] = [
    ["Cost to come", (side) => (side.to_come ? between(side.to_come.cost, money) : "–")],
    ["Ends in", (side) => (side.to_come ? between(side.to_come.ends_in_s, seconds) : "–")],
    ["Deadline", (side) => (side.deadline ? moment(side.deadline) : "none")],
    ["Late", (side) => (side.to_come?.p_late === undefined || side.to_come.p_late === null ? "–" : `in ${Math.round(side.to_come.p_late * 100)} of 100 futures`)],
    ["Without a place", (side) => Object.keys(side.nowhere).join(", ") || "none"],
  ];
  return (
    <div className="overflow-x-auto">
      <table className="w-full">
        <thead className="border-b border-line">
          <tr>
            <Th>
              <span className="sr-only">What</span>
            </Th>
            <Th>As things are</Th>
            <Th>As asked</Th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, write]) => (
            <tr key={name} className="border-b border-line last:border-0">
              <th scope="row" className="px-4 py-2 text-left font-normal text-soft">
                {name}
              </th>
              <Td>{write(before)}</Td>
              <Td className={write(before) === write(after) ? "" : "font-semibold"}>{write(after)}</Td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
