// "Would this be allowed?": a question to the rules in force. Nothing happens.

import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef, useState, type ReactNode } from "react";

import { ask, type Asked, type PolicyStatus, type Question } from "../../api/governance";
import { useSites, useWorkflows } from "../../api/queries";
import { Button, Card, Failed, Said, Td, Th } from "../../ui/kit";
import { Tags } from "../../ui/tags";

/** What people and programs do, as the rules name it, with what that means. */
const OPERATIONS: [name: string, means: string][] = [
  ["read", "see that it is there and how it stands"],
  ["view", "see values, files and logs"],
  ["submit", "start runs"],
  ["steer", "cancel, pause and resume runs"],
  ["author", "write workflows, triggers and connectors"],
  ["decide", "answer questions in the inbox"],
  ["operate", "look after sites"],
  ["govern", "write tags, policies and sanitizers"],
  ["approve", "vouch for rules"],
  ["audit", "read the record"],
  ["secrets", "look after secrets"],
  ["administer", "make tokens, back up and prune"],
  ["work", "do the work of connectors"],
];
const KINDS = ["run", "workflow", "site", "secret", "sanitizer", "policy", "server"];
const BOX = "w-full rounded-md border border-edge bg-surface px-3 py-1.5";

const list = (text: string) => text.split(/[\s,]+/).filter((part) => part !== "");

type Props = { asked?: Question; onAsk: (question: Question) => void };

/** The question that was asked stands in the address: who is sent it sees the question and the answer of today. */
export function AskPane({ rules }: { rules: PolicyStatus }) {
  const { ask: question } = useSearch({ from: "/governance" });
  const navigate = useNavigate({ from: "/governance" });
  const [about, setAbout] = useState<"work" | "person">(question?.operation === undefined ? "work" : "person");
  const asked = useQuery({ queryKey: ["policy", "ask", question], queryFn: () => ask(question!), enabled: question !== undefined, staleTime: 0, retry: false });
  const shows = question !== undefined && (question.operation === undefined ? "work" : "person") === about;
  // What was asked here stands in the form already; what going back brings is written into it.
  const [key, own] = [JSON.stringify(question ?? null), useRef("")];
  const filled = useRef(key);
  if (key !== own.current) filled.current = key;
  useEffect(() => (question ? setAbout(question.operation === undefined ? "work" : "person") : undefined), [key]);
  const onAsk = (next: Question) => {
    own.current = JSON.stringify(next);
    if (own.current === key) void asked.refetch();
    else void navigate({ search: (old) => ({ ...old, ask: next }) });
  };
  const form = { asked: shows ? question : undefined, onAsk };
  return (
    <div className="grid grid-cols-1 gap-4 lg:grid-cols-[minmax(320px,420px)_minmax(0,1fr)]">
      <Card title="Would this be allowed?">
        <div className="space-y-3 p-4">
          <fieldset className="flex gap-4">
            <legend className="sr-only">What the question is about</legend>
            {(["work", "person"] as const).map((kind) => (
              <label key={kind} className="flex items-center gap-2">
                <input
                  type="radio"
                  name="about"
                  checked={about === kind}
                  onChange={() => setAbout(kind)}
                />
                {kind === "work" ? "work on data" : "what a person does"}
              </label>
            ))}
          </fieldset>
          {about === "work" ? <WorkForm rules={rules} {...form} key={filled.current} /> : <PersonForm {...form} key={filled.current} />}
        </div>
      </Card>
      <Card title="The answer">
        {shows && asked.error ? <Failed error={asked.error} retry={() => void asked.refetch()} /> : shows && asked.data ? <Answer asked={asked.data} /> : <p className="p-4 text-soft">By the rules in force, as the server decides every action. Nothing runs and nothing is recorded.</p>}
      </Card>
    </div>
  );
}

function Labelled({ name, children }: { name: string; children: ReactNode }) {
  return (
    <label className="block">
      <span className="mb-1 block text-soft">{name}</span>
      {children}
    </label>
  );
}

function WorkForm({ rules, asked, onAsk }: Props & { rules: PolicyStatus }) {
  const workflows = useWorkflows().data ?? [];
  const sites = useSites().data ?? [];
  const [label, setLabel] = useState<string[]>(asked?.label ?? []);
  const [workflow, setWorkflow] = useState(asked?.workflow ?? "");
  const [domain, setDomain] = useState<string>(asked?.domain ?? "development");
  const [from, setFrom] = useState(asked?.from ?? "");
  const [work, setWork] = useState(asked?.work ?? "");
  return (
    <form
      className="space-y-3"
      onSubmit={(event) => {
        event.preventDefault();
        onAsk({ workflow, domain, label, ...(from ? { from } : {}), ...(work ? { work } : {}) });
      }}
    >
      <fieldset>
        <legend className="mb-1 text-soft">The data carries</legend>
        <div className="flex flex-wrap gap-3">
          {rules.tags.length === 0 ? <span className="text-faint">no tag is declared</span> : null}
          {rules.tags.map((tag) => (
            <label key={tag.name} className="flex items-center gap-1.5">
              <input type="checkbox" checked={label.includes(tag.name)} onChange={(event) => setLabel(event.target.checked ? [...label, tag.name] : label.filter((known) => known !== tag.name))} />
              <Tags tags={[tag.name]} />
            </label>
          ))}
        </div>
      </fieldset>
      <Labelled name="Workflow">
        <select className={BOX} value={workflow} onChange={(event) => setWorkflow(event.target.value)}>
          <option value="">any</option>
          {workflows.map((known) => (
            <option key={known.name}>{known.name}</option>
          ))}
        </select>
      </Labelled>
      <Labelled name="Domain">
        <select className={BOX} value={domain} onChange={(event) => setDomain(event.target.value)}>
          {["development", "staging", "production"].map((known) => (
            <option key={known}>{known}</option>
          ))}
        </select>
      </Labelled>
      <Labelled name="Work">
        <input className={BOX} value={work} onChange={(event) => setWork(event.target.value)} placeholder="run, or a connector: core/http@1" />
      </Labelled>
      <Labelled name="Coming from">
        <select className={BOX} value={from} onChange={(event) => setFrom(event.target.value)}>
          <option value="">it lies there already</option>
          {sites.map((site) => (
            <option key={site.name}>{site.name}</option>
          ))}
        </select>
      </Labelled>
      <Button look="primary" type="submit">
        Ask
      </Button>
    </form>
  );
}

function PersonForm({ asked, onAsk }: Props) {
  const [operation, setOperation] = useState<string>(asked?.operation ?? "view");
  const [user, setUser] = useState(asked?.user ?? "");
  const [roles, setRoles] = useState(asked?.roles?.join(", ") ?? "viewer");
  const [groups, setGroups] = useState(asked?.groups?.join(", ") ?? "");
  const [kind, setKind] = useState<string>(asked?.kind ?? "run");
  const [name, setName] = useState(asked?.name ?? "");
  const [label, setLabel] = useState(asked?.label?.join(", ") ?? "");
  return (
    <form
      className="space-y-3"
      onSubmit={(event) => {
        event.preventDefault();
        const workflow = kind === "workflow" || kind === "run" ? name : "";
        onAsk({ operation, ...(user ? { user } : {}), roles: list(roles), groups: list(groups), kind, name, workflow, label: list(label) });
      }}
    >
      <Labelled name="Person">
        <input className={BOX} value={user} onChange={(event) => setUser(event.target.value)} placeholder="me" />
      </Labelled>
      <Labelled name="Roles">
        <input className={BOX} value={roles} onChange={(event) => setRoles(event.target.value)} />
      </Labelled>
      <Labelled name="Groups">
        <input className={BOX} value={groups} onChange={(event) => setGroups(event.target.value)} />
      </Labelled>
      <Labelled name="Wants to">
        <select className={BOX} value={operation} onChange={(event) => setOperation(event.target.value)}>
          {OPERATIONS.map(([known, means]) => (
            <option key={known} value={known}>
              {known}: {means}
            </option>
          ))}
        </select>
      </Labelled>
      <Labelled name="A">
        <select className={BOX} value={kind} onChange={(event) => setKind(event.target.value)}>
          {KINDS.map((known) => (
            <option key={known}>{known}</option>
          ))}
        </select>
      </Labelled>
      <Labelled name="Named">
        <input className={BOX} value={name} onChange={(event) => setName(event.target.value)} placeholder="project/name" />
      </Labelled>
      <Labelled name="Carrying the tags">
        <input className={BOX} value={label} onChange={(event) => setLabel(event.target.value)} placeholder="pii" />
      </Labelled>
      <Button look="primary" type="submit">
        Ask
      </Button>
    </form>
  );
}

function Answer({ asked }: { asked: Asked }) {
  const places = asked.sites.filter((site) => site.allowed).map((site) => site.site);
  return (
    <div>
      <p role="status" className={`p-4 font-medium ${asked.allowed ? "text-good" : "text-bad"}`}>
        {asked.allowed ? "● permitted" : "✕ refused"}
        {asked.allowed && places.length > 0 && places.length < asked.sites.length ? ` at ${places.join(", ")}, and nowhere else` : ""}
        {asked.why && asked.why !== "permitted" ? (
          <>
            : <Said text={asked.why} />
          </>
        ) : null}
      </p>
      {asked.sites.length > 0 ? (
        <table className="w-full border-t border-line">
          <thead>
            <tr className="border-b border-line">
              <Th>Site</Th>
              <Th>Answer</Th>
              <Th>Why</Th>
            </tr>
          </thead>
          <tbody>
            {asked.sites.map((site) => (
              <tr key={site.site} className="border-b border-line align-top last:border-0">
                <Td className="whitespace-nowrap">{site.site}</Td>
                <Td className={`whitespace-nowrap ${site.allowed ? "text-good" : "text-bad"}`}>{site.allowed ? "● permitted" : "✕ refused"}</Td>
                <Td className="text-soft">
                  <Said text={site.why} />
                </Td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
    </div>
  );
}
