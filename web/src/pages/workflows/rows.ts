// Workflows, environments, tasks and apps as the rows of one list.

import type { AppView, RunMark, TaskView, WorkflowView } from "../../api/types";

export type Runnable = {
  kind: "workflow" | "environment" | "task" | "app";
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
  /** What its runs are runs of: of an environment its tasks. */
  runsOf: string[];
  certificate?: WorkflowView["certificate"];
  /** Of an app: its run and how it is. */
  run?: string;
  state?: string;
};

/** The environments that tasks were deployed with, each with what is the latest of its tasks. */
function environments(tasks: TaskView[]): Runnable[] {
  const found = new Map<string, TaskView[]>();
  for (const task of tasks) {
    if (task.environment === "") continue;
    const key = `environment ${task.project}/${task.domain}/${task.environment}`;
    found.set(key, [...(found.get(key) ?? []), task]);
  }
  return [...found].map(([key, of]): Runnable => {
    const [latest, first] = [of.reduce((a, b) => (b.deployed_at > a.deployed_at ? b : a)), of[0]!];
    const owners = [...new Set(of.map((task) => task.owner))];
    return { kind: "environment", key, name: first.environment, project: first.project, domains: [first.domain], environment: first.environment, owner: owners.join(", "), by: latest.by, version: latest.version, at: latest.deployed_at, runsOf: of.map((task) => `${task.project}/${task.name}`) };
  });
}

/** Everything that can be run, by name: an environment stands before its tasks. */
export function runnables(workflows: WorkflowView[], tasks: TaskView[], apps: AppView[]): Runnable[] {
  const rows = [
    ...workflows.map((one): Runnable => ({ kind: "workflow", key: one.name, name: one.name, project: one.name.split("/")[0]!, domains: one.certificate.domains, environment: "", owner: one.owner, by: one.by, version: String(one.version), at: one.applied_at, runsOf: [one.name], certificate: one.certificate })),
    ...tasks.map((one): Runnable => ({ kind: "task", key: `${one.project}/${one.domain}/${one.name}`, name: one.name, project: one.project, domains: [one.domain], environment: one.environment, owner: one.owner, by: one.by, version: one.version, at: one.deployed_at, runsOf: [`${one.project}/${one.name}`] })),
    ...environments(tasks),
    ...apps.map((one): Runnable => {
      const [project = "", domain = "", ...name] = one.name.split("/");
      return { kind: "app", key: `app ${one.name}`, name: name.join("/"), project, domains: [domain], environment: "", owner: one.by, by: one.by, version: String(one.revision), at: one.changed_at, runsOf: [], run: one.run || undefined, state: one.state };
    }),
  ];
  return rows.sort((a, b) => a.name.localeCompare(b.name) || a.key.localeCompare(b.key));
}

/** The latest runs of a row, and what is said when there are none. A task is deployed in one domain, and its runs in others are not of this row;
 * where the latest are all of others, nobody knows of earlier ones. */
export function marksOf(row: Runnable, known?: ReadonlyMap<string, RunMark[]>): { marks: RunMark[]; none: string } {
  if (row.kind === "app") return { marks: [], none: "–" };
  if (!known) return { marks: [], none: "…" };
  const all = row.runsOf.flatMap((of) => known.get(of) ?? []).sort((a, b) => b.number - a.number);
  if (row.kind === "workflow") return { marks: all, none: "never run" };
  return { marks: all.filter((run) => row.domains.includes(run.domain)), none: all.length === 0 ? "never by itself" : "not lately" };
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
