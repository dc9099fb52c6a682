// What pages read, under the keys that the event stream makes stale.

import { queryOptions, useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { isFinal } from "../lib/now";
import { get, list, segment } from "./client";
import type { ActionView, ApprovalView, AppView, ExplanationView, Graph, LatestRunsView, MeView, Page, ProjectCostView, ResourceView, RunGraphView, RunOutlookView, RunTotalsView, RunView, SiteQueueView, SiteView, TaskView, TilesView, WorkflowView } from "./types";

export type RunFilter = { phase?: string; workflow?: string; limit?: number };

function search(fields: Record<string, string | number | undefined>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined && value !== "") params.set(name, String(value));
  const text = params.toString();
  return text ? `?${text}` : "";
}

export function useRuns(filter: RunFilter = {}) {
  return useInfiniteQuery({
    queryKey: ["runs", filter],
    queryFn: ({ pageParam, signal }) => get<Page<RunView>>(`/api/v1/runs${search({ limit: 50, ...filter, cursor: pageParam })}`, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
  });
}

/** How many runs there were in the last hours and how they stand, counted by the server. */
export function useRunTotals() {
  return useQuery({ queryKey: ["runs", "totals"], queryFn: ({ signal }) => get<RunTotalsView>("/api/v1/runs:totals", signal), placeholderData: (old) => old });
}

/** What each project has spent today and this month, in UTC, beside what it may. */
export function useSpend() {
  return useQuery({ queryKey: ["runs", "spend"], queryFn: ({ signal }) => get<ProjectCostView[]>("/api/v1/costs/projects", signal), placeholderData: (old) => old });
}

/** The latest runs of a workflow, newest first: to go from one to the next. */
export const neighbourOptions = (workflow: string) =>
  queryOptions({
    queryKey: ["runs", "neighbours", workflow],
    queryFn: async ({ signal }) => (await get<Page<RunView>>(`/api/v1/runs${search({ limit: 200, workflow })}`, signal)).items,
  });

/** Actions that come with a large run when it is read again: its timeline is drawn from tiles, and its table from pages. */
const OF_LARGE = 400;

export const runOptions = (name: string) =>
  queryOptions({
    queryKey: ["run", name],
    queryFn: ({ signal, client }) => {
      const known = client.getQueryData<RunView>(["run", name]);
      const large = known?.actions !== undefined && known.actions_total > known.actions.length;
      return get<RunView>(`/api/v1/runs/${segment(name)}${search({ actions: large ? OF_LARGE : undefined })}`, signal);
    },
  });

export function useRun(name: string) {
  return useQuery(runOptions(name));
}

/** A moment as it is asked for: in steps, so that what was read of one is found again, and never before what it names. */
const stepOf = (at: number) => new Date(Math.floor(at / 10) * 10 + 10).toISOString();
/** What is read of a moment that has not quite passed is read again after so long, until it has. */
const AGAIN_MS = 1_000;

/** How a moment is read: what was does not change any more, and what has yet to be is read until it was. */
function past(at: number) {
  const isThen = (query: { state: { dataUpdatedAt: number } }) => isFinal(at, query.state.dataUpdatedAt);
  return {
    gcTime: 60_000,
    staleTime: (query: { state: { dataUpdatedAt: number } }) => (isThen(query) ? Infinity : 0),
    refetchInterval: (query: { state: { dataUpdatedAt: number } }) => (isThen(query) ? (false as const) : AGAIN_MS),
  };
}

/** A run as it was at a moment, of a large one some of its actions; nothing is asked without a moment. */
export function useRunAt(run: RunView | undefined, at: number | undefined) {
  const large = run?.actions !== undefined && run.actions_total > run.actions.length;
  const when = at === undefined ? undefined : stepOf(at);
  return useQuery({
    ...(at === undefined ? {} : past(at)),
    enabled: run !== undefined && when !== undefined,
    queryKey: ["past", run?.name, "run", when],
    queryFn: ({ signal }) => get<RunView>(`/api/v1/runs/${segment(run!.name)}${search({ at: when, actions: large ? OF_LARGE : undefined })}`, signal),
    placeholderData: (old) => (old?.name === run?.name ? old : undefined),
  });
}

/** The graph that a run runs, with how each node stands, now or at a moment. */
export function useRunGraph(run: string, at: number | undefined) {
  const when = at === undefined ? undefined : stepOf(at);
  return useQuery({
    ...(at === undefined ? {} : past(at)),
    queryKey: when === undefined ? ["run", run, "graph"] : ["past", run, "graph", when],
    queryFn: ({ signal }) => get<RunGraphView>(`/api/v1/runs/${segment(run)}/graph${search({ at: when })}`, signal),
    // The picture of another run, or of the present while the past is asked for, is none of this one.
    placeholderData: (old, query) => (query?.queryKey[1] === run && query.queryKey[0] === (when === undefined ? "run" : "past") ? old : undefined),
  });
}

/** How often the outlook of a run that goes on is asked for: time passes in it, whether something happens or not. */
const OUTLOOK_MS = 3_000;

/** What a run waits for, what it will still cost and when it will be done. Asked for again when its phase or its people change, and every few
 * seconds while it goes on; not at every event, since a large run has many. */
export function useOutlook(run: RunView, live: boolean, wanted = true) {
  return useQuery({
    enabled: wanted,
    queryKey: ["outlook", run.name, run.phase, run.waiting_for_human],
    queryFn: ({ signal }) => get<RunOutlookView>(`/api/v1/runs/${segment(run.name)}/outlook`, signal),
    refetchInterval: live && wanted ? OUTLOOK_MS : false,
    placeholderData: (old) => old,
  });
}

/** A run in tiles: of the actions in a range of numbers or of all, now or at a moment. */
export function tilesOptions(run: string, range?: [number, number], at?: number) {
  const [from, to] = range ?? [undefined, undefined];
  const when = at === undefined ? undefined : stepOf(at);
  return queryOptions({
    ...(at === undefined ? {} : past(at)),
    queryKey: when === undefined ? ["run", run, "tiles", from, to] : ["past", run, "tiles", from, to, when],
    queryFn: ({ signal }) => get<TilesView>(`/api/v1/runs/${segment(run)}/tiles${search({ from, to, at: when })}`, signal),
  });
}

export function useTiles(run: string, range: [number, number] | undefined, at: number | undefined) {
  return useQuery({ ...tilesOptions(run, range, at), placeholderData: (old) => old });
}

/** Rows of a page of actions. */
const ACTIONS = 500;

export function useAction(run: string, path: string, at?: number) {
  const when = at === undefined ? undefined : stepOf(at);
  return useQuery({
    ...(at === undefined ? {} : past(at)),
    queryKey: when === undefined ? ["run", run, "action", path] : ["past", run, "action", path, when],
    queryFn: ({ signal }) => get<ActionView>(`/api/v1/runs/${segment(run)}/action${search({ path, at: when })}`, signal),
    placeholderData: (old) => (old?.path === path ? old : undefined),
  });
}

/** Actions of a large run, page by page, now or at a moment. */
export function useActionPages(run: string, filter: { phase?: string; find?: string }, at: number | undefined, enabled: boolean) {
  const when = at === undefined ? undefined : stepOf(at);
  return useInfiniteQuery({
    ...(at === undefined ? {} : past(at)),
    queryKey: when === undefined ? ["run", run, "actions", filter] : ["past", run, "actions", filter, when],
    queryFn: ({ pageParam, signal }) => get<Page<ActionView>>(`/api/v1/runs/${segment(run)}/actions${search({ limit: ACTIONS, ...filter, cursor: pageParam, at: when })}`, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    enabled,
  });
}

export function useExplanation(run: string, path: string) {
  return useQuery({
    queryKey: ["run", run, "explain", path],
    queryFn: async ({ signal }) => (await get<ExplanationView[]>(`/api/v1/runs/${segment(run)}/explain${search({ path })}`, signal))[0] ?? null,
  });
}

export function useApprovals() {
  return useQuery({ ...approvalsOptions, select: (found) => found.items });
}

const approvalsOptions = queryOptions({
  queryKey: ["approvals"],
  queryFn: ({ signal }) => list<ApprovalView>("/api/v1/approvals?limit=500", 1, signal),
});

/** The questions of one run: one that a link leads to may not be among those that are read of all. */
export function useApprovalsOf(run: string | undefined, wanted: boolean) {
  return useQuery({ enabled: wanted && run !== undefined, queryKey: ["approvals", run], queryFn: async ({ signal }) => (await list<ApprovalView>(`/api/v1/approvals${search({ run, limit: 1000 })}`, 1, signal)).items });
}

/** Whether more questions wait than are read. */
export function useMoreApprovals(): boolean {
  return useQuery({ ...approvalsOptions, select: (found) => found.more }).data ?? false;
}

/** How many questions wait, whoever is asked. */
export function useWaiting() {
  return useQuery({ queryKey: ["approvals", "count"], queryFn: ({ signal }) => get<{ waiting: number }>("/api/v1/approvals:count", signal), select: (found) => found.waiting });
}

/** Who calls, as the server knows them. */
export function useMe() {
  return useQuery({ queryKey: ["me"], queryFn: ({ signal }) => get<MeView>("/api/v1/me", signal), staleTime: 60_000 });
}

export function useSites() {
  return useQuery({ queryKey: ["sites"], queryFn: async ({ signal }) => (await list<SiteView>("/api/v1/sites", PAGES, signal)).items });
}

/** Groups of waiting actions that a card of a site names. */
const QUEUED = 5;

/** What waits for each site, by its name. */
export function useQueues() {
  return useQuery({
    queryKey: ["sites", "queues"],
    queryFn: async ({ signal }) => new Map((await get<SiteQueueView[]>(`/api/v1/sites/queues${search({ limit: QUEUED })}`, signal)).map((queue) => [queue.site, queue])),
    placeholderData: (old) => old,
  });
}

export function useWorkflows() {
  return useQuery({
    queryKey: ["resources", "workflow"],
    queryFn: async ({ signal }) => (await list<ResourceView>("/api/v1/resources/workflow?limit=10000", PAGES, signal)).items,
  });
}

/** Rows of a page of workflows: the rules look at each of them. */
const WORKFLOWS = 200;

/** The workflows with who began them and what the rules say of them, page by page. */
export function useWorkflowList() {
  return useInfiniteQuery({
    queryKey: ["resources", "workflows"],
    queryFn: ({ pageParam, signal }) => get<WorkflowView[]>(`/api/v1/workflows${search({ limit: WORKFLOWS, cursor: pageParam })}`, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => (page.length === WORKFLOWS ? page.at(-1)!.name : undefined),
  });
}

/** The tasks that Flyte programs deployed, the latest version of each, by name. */
export function useTasks() {
  return useQuery({ ...tasksOptions, select: (found) => found.items });
}

/** Pages of a thousand that are read of a list which is shown as a whole; beyond them the screen says that there is more. */
const PAGES = 10;

const tasksOptions = queryOptions({
  queryKey: ["resources", "tasks"],
  queryFn: ({ signal }) => list<TaskView>("/api/v1/tasks?limit=1000", PAGES, signal),
});

/** Whether there are more tasks than are read. */
export function useMoreTasks(): boolean {
  return useQuery({ ...tasksOptions, select: (found) => found.more }).data ?? false;
}

/** The apps that Flyte programs deployed. */
export function useApps() {
  return useQuery({ queryKey: ["resources", "apps"], queryFn: ({ signal }) => get<AppView[]>("/api/v1/apps", signal) });
}

/** The latest runs of each workflow and task. */
export function useLatestRuns() {
  return useQuery({
    queryKey: ["runs", "latest"],
    queryFn: async ({ signal }) => new Map((await list<LatestRunsView>("/api/v1/runs:latest", PAGES, signal)).items.map((row) => [row.workflow, row.runs])),
    placeholderData: (old) => old,
  });
}

export function useWorkflow(name: string, wanted = true) {
  return useQuery({
    enabled: wanted,
    queryKey: ["resources", "workflow", name],
    queryFn: async ({ signal }) => {
      const row = await get<ResourceView>(`/api/v1/resources/workflow/${name.split("/").map(segment).join("/")}`, signal);
      return { row, graph: (row.body?.definition ?? null) as Graph | null };
    },
  });
}
