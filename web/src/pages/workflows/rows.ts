// Workflows, tasks and apps as the rows of one list.

import type { AppView, TaskView, WorkflowView } from "../../api/types";

export type Runnable = {
  kind: "workflow" | "task" | "app";
  /** Tells it from every other row. */
  key: string;
  name: string;
  project: string;
  /** Where it is deployed; of a workflow where it may run. */
  domains: string[];
  environment: string;
  owner: string;
  by: string;
  version: string;
  at: string;
  /** What its runs are runs of. */
  runsOf: string;
  certificate?: WorkflowView["certificate"];
  /** Of an app: its run and how it is. */
  run?: string;
  state?: string;
};

/** Everything that can be run, by name. */
export function runnables(workflows: WorkflowView[], tasks: TaskView[], apps: AppView[]): Runnable[] {
  const rows = [
    ...workflows.map((one): Runnable => ({ kind: "workflow", key: one.name, name: one.name, project: one.name.split("/")[0]!, domains: one.certificate.domains, environment: "", owner: one.owner, by: one.by, version: String(one.version), at: one.applied_at, runsOf: one.name, certificate: one.certificate })),
    ...tasks.map((one): Runnable => ({ kind: "task", key: `${one.project}/${one.domain}/${one.name}`, name: one.name, project: one.project, domains: [one.domain], environment: one.environment, owner: one.owner, by: one.by, version: one.version, at: one.deployed_at, runsOf: `${one.project}/${one.name}` })),
    ...apps.map((one): Runnable => {
      const [project = "", domain = "", ...name] = one.name.split("/");
      return { kind: "app", key: `app ${one.name}`, name: name.join("/"), project, domains: [domain], environment: "", owner: one.by, by: one.by, version: String(one.revision), at: one.changed_at, runsOf: "", run: one.run || undefined, state: one.state };
    }),
  ];
  return rows.sort((a, b) => a.name.localeCompare(b.name) || a.key.localeCompare(b.key));
}

const DOMAINS = ["development", "staging", "production"];

/** What is said of a certificate: in which domains it holds, and in which it does not. */
export function certified({ governed, domains, refused }: WorkflowView["certificate"]): { state: "ungoverned" | "all" | "some" | "none"; words: string; not: string[] } {
  const not = DOMAINS.filter((domain) => !domains.includes(domain));
  if (!governed && !refused) return { state: "ungoverned", words: "every domain · there are no rules", not: [] };
  if (not.length === 0) return { state: "all", words: `● certified for ${domains.join(", ")}`, not };
  if (domains.length === 0) return { state: "none", words: "✕ no certificate", not };
  return { state: "some", words: `◌ certified for ${domains.join(", ")}`, not };
}
