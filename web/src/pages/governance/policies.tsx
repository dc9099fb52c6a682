// The policy documents: their text, what stands in them, the version that waits; and writing another version with its consequences beside it.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { apply, simulate, validate, type PolicyStatus, type PolicyView, type Simulated } from "../../api/governance";
import { policyDocument } from "../../lib/cedar";
import { Button, Card, Empty, Failed, RunLink, Said, Td, Th, Working } from "../../ui/kit";
import { Tags } from "../../ui/tags";
import { Cedar, CedarEditor } from "./cedar";
import { Vouch } from "./vouch";

/** The policy that is being written, a new one or another version: it stands in the address. */
function useWriting() {
  const { write: writing } = useSearch({ from: "/governance" });
  const navigate = useNavigate({ from: "/governance" });
  const write = (what: true | string | undefined) => void navigate({ search: (old) => ({ ...old, write: what }), replace: what === undefined });
  return [writing, write] as const;
}

export function PoliciesPane({ rules }: { rules: PolicyStatus }) {
  const [writing, write] = useWriting();
  return (
    <div className="space-y-4">
      {rules.policies.map((policy) => (
        <PolicyCard key={policy.name} policy={policy} />
      ))}
      {writing === true ? (
        <Card title="A new policy">
          <div className="p-4">
            <Editor policy={{ ...NEW, name: "" }} onDone={() => write(undefined)} />
          </div>
        </Card>
      ) : (
        <Button onClick={() => write(true)}>Write a policy</Button>
      )}
    </div>
  );
}

const NEW = { name: "", description: "", closed: false, approvals: 0, cedar: '@id("a-name")\n@reason("why")\nforbid (principal, action in Action::"place", resource)\nwhen { context.data in Tag::"pii" }\nunless { resource.zone == "on-premise" };\n' };

function PolicyCard({ policy }: { policy: PolicyView }) {
  const [writing, write] = useWriting();
  const editing = writing === policy.name;
  return (
    <Card title={policy.name} aside={policy.in_force ? `version ${policy.in_force} is in force` : <span className="text-warn">◌ not in force yet</span>}>
      <div className="space-y-4 p-4">
        {policy.description ? <p className="text-soft">{policy.description}</p> : null}
        {policy.rules.length > 0 ? (
          <ul className="space-y-1">
            {policy.rules.map((rule) => (
              <li key={rule.id} className="flex flex-wrap items-baseline gap-x-2">
                <span className={rule.effect === "forbid" ? "text-bad" : "text-good"}>{rule.effect === "forbid" ? "✕ forbids" : "● permits"}</span>
                <span className="font-mono text-code">{rule.id}</span>
                <span>{rule.reason}</span>
                <Tags tags={rule.tags} none="" />
                {rule.attributes.length > 0 ? <span className="text-faint">looks at {rule.attributes.join(", ")}</span> : null}
              </li>
            ))}
          </ul>
        ) : null}
        {editing ? (
          <Editor policy={policy} onDone={() => write(undefined)} />
        ) : (
          <>
            <Cedar text={policy.cedar} />
            <Button onClick={() => write(policy.name)}>Write another version</Button>
          </>
        )}
        {policy.waiting ? (
          <section className="rounded-md border border-warn p-4">
            <h3 className="font-semibold text-warn">
              ◌ Version {policy.waiting.version} waits: {policy.waiting.approved_by.length} of {policy.waiting.needed} have approved it
            </h3>
            <p className="my-2 text-soft">
              Applied by {policy.waiting.author}, who cannot approve it.
              {policy.waiting.approved_by.length > 0 ? ` Approved by ${policy.waiting.approved_by.join(", ")}.` : ""}
            </p>
            <Cedar text={policy.waiting.cedar} />
            <Vouch kind="policy" name={policy.name} digest={policy.waiting.digest} />
          </section>
        ) : null}
      </div>
    </Card>
  );
}

type Draft = { name: string; description: string; closed: boolean; approvals: number; cedar: string };

const PAUSE_MS = 250;

function Editor({ policy, onDone }: { policy: Draft; onDone: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState(policy.name);
  const [cedar, setCedar] = useState(policy.cedar);
  const [days, setDays] = useState(7);
  const text = policyDocument({ ...policy, name, cedar });
  const [asked, setAsked] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const named = name !== "";
  const checked = useQuery({ queryKey: ["policy", "check", asked], queryFn: () => validate(asked), enabled: named, placeholderData: (old) => old });
  const wrong = (checked.data?.diagnostics ?? []).filter((one) => one.finding.severity === "error");
  const tried = useMutation({ mutationFn: () => simulate(text, days) });
  const saved = useMutation({
    mutationFn: () => apply(text),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["policy"] }).then(onDone),
  });
  const good = named && checked.data !== undefined && asked === text && wrong.length === 0;
  return (
    <div className="space-y-3">
      {policy.name === "" ? (
        <label className="block max-w-md">
          <span className="mb-1 block text-soft">Name</span>
          <input value={name} onChange={(event) => setName(event.target.value)} placeholder="personal-data" className="w-full rounded-md border border-edge bg-surface px-3 py-1.5 font-mono" />
        </label>
      ) : null}
      <CedarEditor text={policy.cedar} onType={setCedar} />
      <div role="status">
        {checked.error ? <Failed error={checked.error} /> : null}
        {(checked.data?.diagnostics ?? []).map((one, index) => (
          <p key={index} className={one.finding.severity === "error" ? "text-bad" : "text-warn"}>
            {one.finding.severity === "error" ? "✕" : "◌"} <span className="font-mono text-small">{one.finding.code}</span> <Said text={one.finding.message} />
            {one.finding.hint ? <span className="block pl-5 text-soft">{one.finding.hint}</span> : null}
          </p>
        ))}
        {good ? <p className="text-good">● it is valid</p> : null}
        {named ? null : <p className="text-soft">It is looked at when it has a name.</p>}
      </div>
      <div className="flex flex-wrap items-center gap-2">
        <label className="flex items-center gap-2">
          <span className="text-soft">What would it have changed in the last</span>
          <select value={days} onChange={(event) => setDays(Number(event.target.value))} className="rounded-md border border-edge bg-surface px-2 py-1">
            {[1, 7, 30, 90].map((count) => (
              <option key={count} value={count}>
                {count === 1 ? "day" : `${count} days`}
              </option>
            ))}
          </select>
        </label>
        <Button disabled={!good || tried.isPending} onClick={() => tried.mutate()}>
          Simulate
        </Button>
        <span className="ml-auto flex gap-2">
          <Button onClick={onDone}>Leave it</Button>
          <Button look="primary" disabled={!good || saved.isPending} onClick={() => saved.mutate()}>
            Apply
          </Button>
        </span>
      </div>
      {saved.error ? <Failed error={saved.error} /> : null}
      {tried.error ? <Failed error={tried.error} /> : null}
      {tried.isPending ? <Working what="Deciding again what was decided then" /> : null}
      {tried.data ? <Outcome simulated={tried.data} days={days} /> : null}
    </div>
  );
}

/** What other rules would have changed. */
function Outcome({ simulated, days }: { simulated: Simulated; days: number }) {
  const { runs, decisions, denied, permitted, changes, refused, freed, more } = simulated;
  const same = changes.length === 0 && Object.keys(refused).length === 0 && freed.length === 0;
  return (
    <section aria-label="What it would have changed" className="rounded-md border border-line">
      <p className="border-b border-line px-4 py-2">
        {decisions.toLocaleString()} decisions of {runs.toLocaleString()} runs in {days === 1 ? "a day" : `${days} days`} made again:{" "}
        <strong className={denied > 0 ? "text-bad" : ""}>{denied.toLocaleString()} refused</strong>, {permitted.toLocaleString()} permitted that are refused now{more ? "; there was more than is looked at" : ""}.
      </p>
      {same ? <Empty title="Nothing would have been another answer" /> : null}
      {changes.length > 0 ? (
        <table className="w-full">
          <thead>
            <tr className="border-b border-line">
              <Th>Answer</Th>
              <Th>Step</Th>
              <Th>Data</Th>
              <Th>Site</Th>
              <Th right>Times</Th>
              <Th>Why</Th>
            </tr>
          </thead>
          <tbody>
            {changes.map((change, index) => (
              <tr key={index} className="border-b border-line align-top last:border-0">
                <Td className={change.allowed ? "text-good" : "text-bad"}>{change.allowed ? "● permitted" : "✕ refused"}</Td>
                <Td>
                  <RunLink name={change.run}>{change.action || change.run}</RunLink>
                  <span className="block text-soft">{change.workflow}</span>
                </Td>
                <Td>
                  <Tags tags={change.label} />
                </Td>
                <Td>{change.from ? `${change.from} → ${change.site}` : change.site}</Td>
                <Td right>{change.times.toLocaleString()}</Td>
                <Td className="text-soft">
                  <Said text={change.why} />
                </Td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
      {Object.entries(refused).map(([workflow, why]) => (
        <div key={workflow} className="border-t border-line px-4 py-2">
          <p className="text-bad">✕ {workflow} would be refused</p>
          <pre className="mt-1 whitespace-pre-wrap font-mono text-small text-soft">{why}</pre>
        </div>
      ))}
      {freed.length > 0 ? <p className="border-t border-line px-4 py-2 text-good">● no longer refused: {freed.join(", ")}</p> : null}
    </section>
  );
}
