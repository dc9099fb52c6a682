// For administrators: tokens, projects, what is stored and for how long, and the server itself.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Tabs } from "radix-ui";
import { useState } from "react";

import { get, post, remove, segment, setToken, token } from "../api/client";
import type { components } from "../api/schema";
import { useSpend } from "../api/queries";
import { applied, PROJECT } from "../lib/examples";
import { bytes, money } from "../lib/format";
import { renamePerson } from "../lib/person";
import { Ago, Button, Card, Empty, Failed, Loading, PageHead, Td, Th, Working } from "../ui/kit";
import { Dialog } from "../ui/dialog";
import { Save } from "../ui/save";

type Token = components["schemas"]["TokenView"];
type Project = components["schemas"]["ProjectUseView"];
type Storage = components["schemas"]["StorageView"];
type Pruned = components["schemas"]["PruneAnswer"];

const TABS = ["tokens", "projects", "retention", "server"] as const;
const ROLES: [name: string, does: string][] = [
  ["viewer", "sees everything, values included"],
  ["runner", "starts and steers runs"],
  ["author", "writes workflows, triggers and connectors"],
  ["approver", "decides in the inbox, and vouches for rules; for those who may look as well"],
  ["operator", "looks after sites and runs; sees no values"],
  ["policy-admin", "writes the rules; sees no values"],
  ["auditor", "reads the record; sees no values"],
  ["secrets-admin", "looks after secrets; sees no values"],
  ["worker", "does the work of connectors"],
  ["admin", "everything"],
];
/** What people do not look at pages with. */
const BLIND = new Set(["approver", "worker"]);

/** Whether roles open no page of the app, and are meant for somebody who opens them. */
export const blind = (roles: string[]) => roles.includes("approver") && roles.every((role) => BLIND.has(role));

/** What is stored grows with every event, and counting it takes a while: it is counted again this often. */
const COUNT_MS = 10_000;
const FIELD = "w-full rounded-md border border-edge bg-surface px-3 py-1.5";

export function AdminPage() {
  const { tab = "tokens" } = useSearch({ from: "/admin" });
  const navigate = useNavigate({ from: "/admin" });
  return (
    <>
      <PageHead title="Admin" />
      <Tabs.Root value={TABS.includes(tab as never) ? tab : "tokens"} onValueChange={(next) => void navigate({ search: { tab: next }, replace: true })}>
        <Tabs.List aria-label="Views of administration" className="mb-4 flex gap-1 border-b border-line">
          {TABS.map((known) => (
            <Tabs.Trigger key={known} value={known} className="border-b-2 border-transparent px-3 py-1.5 capitalize text-soft data-[state=active]:border-accent data-[state=active]:text-ink">
              {known}
            </Tabs.Trigger>
          ))}
        </Tabs.List>
        <Tabs.Content value="tokens">
          <Tokens />
        </Tabs.Content>
        <Tabs.Content value="projects">
          <Projects />
        </Tabs.Content>
        <Tabs.Content value="retention">
          <Retention />
        </Tabs.Content>
        <Tabs.Content value="server">
          <Server />
        </Tabs.Content>
      </Tabs.Root>
    </>
  );
}

function Tokens() {
  const queries = useQueryClient();
  const tokens = useQuery({ queryKey: ["resources", "tokens"], queryFn: ({ signal }) => get<Token[]>("/api/v1/tokens", signal) });
  const { make: making, revoke: asked } = useSearch({ from: "/admin" });
  const navigate = useNavigate({ from: "/admin" });
  const make = (open: boolean) => void navigate({ search: (old) => ({ ...old, make: open || undefined }), replace: !open });
  const revoke = (name: string | undefined) => void navigate({ search: (old) => ({ ...old, revoke: name }), replace: name === undefined });
  // A token that is gone is asked about no more, whatever an old address says.
  const going = tokens.data?.find((known) => known.name === asked)?.name;
  const [made, setMade] = useState<Token>();
  const gone = useMutation({
    mutationFn: (name: string) => remove(`/api/v1/tokens/${segment(name)}`),
    onSuccess: () => {
      revoke(undefined);
      void queries.invalidateQueries({ queryKey: ["resources", "tokens"] });
    },
  });
  // A token is shown this once: whatever becomes of the list behind it, it stays until it is closed.
  const shown = made ? (
    <Dialog title={`The token ${made.name}`} onClose={() => setMade(undefined)}>
      <p className="mb-2 text-soft">It is shown this once. Only its hash is stored.{token() === made.token ? " This tab uses it from now on." : ""}</p>
      <code aria-label="The new token" className="block break-all rounded-md bg-sunken px-3 py-2 font-mono text-code">
        {made.token}
      </code>
    </Dialog>
  ) : null;
  if (tokens.error && !tokens.data) {
    return (
      <>
        <Failed error={tokens.error} retry={() => void tokens.refetch()} />
        {shown}
      </>
    );
  }
  if (tokens.isPending) return <Loading what="tokens" />;
  return (
    <>
      <Card
        title="Tokens"
        aside={
          <Button look="primary" onClick={() => make(true)}>
            Make a token
          </Button>
        }
      >
        {tokens.data.length === 0 ? (
          <Empty title="There is no token">Without tokens only programs of this machine may call, and they may do everything. With the first one every call needs one.</Empty>
        ) : (
          <table className="w-full">
            <thead>
              <tr className="border-b border-line">
                <Th>Name</Th>
                <Th>User</Th>
                <Th>Groups</Th>
                <Th>May</Th>
                <Th>Made</Th>
                <Th />
              </tr>
            </thead>
            <tbody>
              {tokens.data.map((known) => (
                <tr key={known.name} className="border-b border-line last:border-0">
                  <Td>{known.name}</Td>
                  <Td>{known.user}</Td>
                  <Td>{known.groups.join(", ")}</Td>
                  <Td>{[...(known.roles ?? []), ...known.scopes.map((scope) => `scope ${scope}`)].join(", ")}</Td>
                  <Td>
                    <Ago at={known.created_at} />
                  </Td>
                  <Td right>
                    <Button look="danger" onClick={() => revoke(known.name)}>
                      Revoke
                    </Button>
                  </Td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Card>
      {making ? (
        <MakeToken
          first={tokens.data.length === 0}
          onMade={(token) => {
            make(false);
            setMade(token);
          }}
          onClose={() => make(false)}
        />
      ) : null}
      {shown}
      {going ? (
        <Dialog title={`Revoke ${going}?`} onClose={() => revoke(undefined)}>
          <p className="mb-4">The next request with it is refused. What it opened goes on.</p>
          {gone.error ? <Failed error={gone.error} /> : null}
          <div className="flex justify-end gap-2">
            <Button onClick={() => revoke(undefined)}>Leave it</Button>
            <Button look="danger" disabled={gone.isPending} onClick={() => gone.mutate(going)}>
              Revoke it
            </Button>
          </div>
        </Dialog>
      ) : null}
    </>
  );
}

const list = (text: string) => text.split(/[\s,]+/).filter((part) => part !== "");

function MakeToken({ first, onMade, onClose }: { first: boolean; onMade: (token: Token) => void; onClose: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [user, setUser] = useState("");
  const [groups, setGroups] = useState("");
  const [roles, setRoles] = useState<string[]>(first ? ["admin"] : ["viewer"]);
  const make = useMutation({
    mutationFn: () => post<Token>("/api/v1/tokens", { name, ...(user ? { user } : {}), groups: list(groups), roles }),
    onSuccess: (made) => {
      // From the first one on every call needs a token: without it this page would be shut out by its own deed.
      if (first && token() === null) {
        renamePerson();
        setToken(made.token ?? null);
      }
      onMade(made);
      void queries.invalidateQueries({ queryKey: ["resources", "tokens"] });
    },
  });
  return (
    <Dialog title="Make a token" onClose={onClose}>
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          make.mutate();
        }}
      >
        {first ? <p className="rounded-md border border-warn px-3 py-2 text-warn">◌ With the first token every call needs one. This tab uses it at once; keep it for later.</p> : null}
        <label className="block">
          <span className="mb-1 block text-soft">Name of the token</span>
          <input autoFocus className={FIELD} value={name} onChange={(event) => setName(event.target.value)} placeholder="rita-laptop" />
        </label>
        <label className="block">
          <span className="mb-1 block text-soft">Who uses it</span>
          <input className={FIELD} value={user} onChange={(event) => setUser(event.target.value)} placeholder={name || "rita"} />
        </label>
        <label className="block">
          <span className="mb-1 block text-soft">Their groups</span>
          <input className={FIELD} value={groups} onChange={(event) => setGroups(event.target.value)} placeholder="risk-officers" />
        </label>
        <fieldset>
          <legend className="mb-1 text-soft">Roles</legend>
          <div className="grid gap-1">
            {ROLES.map(([role, does]) => (
              <label key={role} className="flex items-baseline gap-2">
                <input type="checkbox" checked={roles.includes(role)} onChange={(event) => setRoles(event.target.checked ? [...roles, role] : roles.filter((known) => known !== role))} />
                <span>
                  {role} <span className="text-faint">{does}</span>
                </span>
              </label>
            ))}
          </div>
        </fieldset>
        {blind(roles) ? (
          <p role="status" className="text-warn">
            ◌ {roles.join(" and ")} may not look: with this token no page opens, not even the inbox. Check viewer, or operator, as well.
          </p>
        ) : null}
        {make.error ? <Failed error={make.error} /> : null}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Leave it</Button>
          <Button look="primary" type="submit" disabled={make.isPending || name === "" || roles.length === 0}>
            Make it
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Projects() {
  const projects = useQuery({ queryKey: ["runs", "projects"], queryFn: ({ signal }) => get<Project[]>("/api/v1/storage/projects", signal) });
  const spend = new Map((useSpend().data ?? []).map((project) => [project.name, project]));
  if (projects.error && !projects.data) return <Failed error={projects.error} />;
  if (projects.isPending) return <Loading what="projects" />;
  return (
    <Card>
      {projects.data.length === 0 ? (
        <Empty title="No project yet" code={applied("project.yaml", PROJECT)}>The part of a workflow's name before the `/` is its project.</Empty>
      ) : (
        <table className="w-full">
          <thead>
            <tr className="border-b border-line">
              <Th>Project</Th>
              <Th right>Workflows</Th>
              <Th right>Runs</Th>
              <Th right>Running</Th>
              <Th right>Cost of all</Th>
              <Th right>Spent today (UTC)</Th>
              <Th right>Budget left</Th>
              <Th>Last run</Th>
            </tr>
          </thead>
          <tbody>
            {projects.data.map((project) => (
              <tr key={project.name} className="border-b border-line last:border-0">
                <Td>{project.name}</Td>
                <Td right>{project.workflows.toLocaleString()}</Td>
                <Td right>{project.runs.toLocaleString()}</Td>
                <Td right>{project.open.toLocaleString()}</Td>
                <Td right>{money(project.cost)}</Td>
                <Td right>{money(spend.get(project.name)?.spent_day ?? 0)}</Td>
                <Td right className={(spend.get(project.name)?.left ?? 1) > 0 ? "" : "text-bad"}>
                  {spend.get(project.name)?.left == null ? <span className="text-faint">no budget</span> : money(spend.get(project.name)!.left!)}
                </Td>
                <Td>{project.last ? <Ago at={project.last} /> : "never"}</Td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
}

function useStored() {
  return useQuery({ queryKey: ["storage"], queryFn: ({ signal }) => get<Storage>("/api/v1/storage", signal), refetchInterval: COUNT_MS });
}

function Retention() {
  const queries = useQueryClient();
  const stored = useStored();
  const [age, setAge] = useState("90d");
  const look = useMutation({ mutationFn: () => post<Pruned>("/api/v1/prune", { older_than: age, dry_run: true }) });
  const prune = useMutation({
    mutationFn: () => post<Pruned>("/api/v1/prune", { older_than: age }),
    onSuccess: () => {
      look.reset();
      void queries.invalidateQueries({ queryKey: ["storage"] });
    },
  });
  if (stored.error && !stored.data) return <Failed error={stored.error} />;
  if (stored.isPending) return <Loading what="what is stored" />;
  const rows: [what: string, bytes: number, kept: string][] = [
    ["Entries of the audit log", stored.data.entries_bytes, `${stored.data.entries.toLocaleString()} entries, kept for ever: the log is verified by them`],
    ["Values of runs", stored.data.values_bytes, "until they are pruned, or erased with their run"],
    ["Database, with what is read from entries", stored.data.database_bytes, "made anew from the entries at any time"],
    ...stored.data.stores.map((store): [string, number, string] => [`Files at ${store.site}`, store.bytes, `${store.files.toLocaleString()} files, until the runs that hold them are erased`]),
  ];
  return (
    <div className="grid grid-cols-1 gap-4 lg:grid-cols-[minmax(0,1fr)_360px]">
      <Card title="What is stored">
        <table className="w-full">
          <thead>
            <tr className="border-b border-line">
              <Th>What</Th>
              <Th right>Bytes</Th>
              <Th>Kept</Th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([what, size, kept]) => (
              <tr key={what} className="border-b border-line last:border-0">
                <Td>{what}</Td>
                <Td right>
                  <span title={`${size.toLocaleString()} bytes`}>{bytes(size)}</span>
                </Td>
                <Td className="text-soft">{kept}</Td>
              </tr>
            ))}
          </tbody>
        </table>
      </Card>
      <Card title="Prune values">
        <form
          className="space-y-3 p-4"
          onSubmit={(event) => {
            event.preventDefault();
            look.mutate();
          }}
        >
          <p className="text-soft">Destroys the values of runs that ended long ago. Facts and hashes stay, and the log still verifies.</p>
          <label className="block">
            <span className="mb-1 block text-soft">Of runs that ended before</span>
            <input className={FIELD} value={age} onChange={(event) => setAge(event.target.value)} placeholder="90d" />
          </label>
          <Button type="submit" disabled={look.isPending || age.trim() === ""}>
            What would go?
          </Button>
          {look.isPending || prune.isPending ? <Working what={look.isPending ? "Counting" : "Destroying"} /> : null}
          {look.error ? <Failed error={look.error} /> : null}
          {look.data ? (
            <div role="status" className="rounded-md border border-line px-3 py-2">
              <p>
                {look.data.bodies.toLocaleString()} values of {look.data.runs.toLocaleString()} runs, {bytes(look.data.bytes)}.
              </p>
              <Button look="danger" className="mt-2" disabled={prune.isPending || look.data.runs === 0} onClick={() => prune.mutate()}>
                Destroy them
              </Button>
            </div>
          ) : null}
          {prune.error ? <Failed error={prune.error} /> : null}
          {prune.data ? (
            <p role="status" className="text-good">
              ● {prune.data.bodies.toLocaleString()} values are destroyed, {bytes(prune.data.bytes)}
            </p>
          ) : null}
        </form>
      </Card>
    </div>
  );
}

/** What the server says of its health, in words. */
const SAYS: Record<string, string> = { status: "Health", version: "Version", seq: "Entries of the log" };

function Server() {
  const stored = useStored();
  const health = useQuery({ queryKey: ["health"], queryFn: ({ signal }) => get<Record<string, unknown>>("/healthz", signal) });
  if (stored.error && !stored.data) return <Failed error={stored.error} />;
  if (stored.isPending || health.isPending) return <Loading what="the server" />;
  const facts: [string, string][] = [
    ["Data directory", stored.data.data],
    ["Runs", `${stored.data.runs.toLocaleString()}, ${stored.data.open_runs.toLocaleString()} of them running`],
    ...Object.entries(health.data ?? {}).map(([name, value]): [string, string] => [SAYS[name] ?? name.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : typeof value === "number" ? value.toLocaleString() : String(value)]),
  ];
  return (
    <Card title="This server">
      <dl className="grid grid-cols-[auto_1fr] gap-x-6 gap-y-1.5 p-4">
        {facts.map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-soft">{name}</dt>
            <dd className="break-all">{value}</dd>
          </div>
        ))}
      </dl>
      <p className="border-t border-line p-4 text-soft">
        How it runs is said when it starts: <code className="font-mono text-code">tutti up --config FILE</code>. The description of its API is at{" "}
        <Save from="/api/v1/openapi.json" as="openapi.json" className="text-accent underline">
          /api/v1/openapi.json
        </Save>
        .
      </p>
    </Card>
  );
}
