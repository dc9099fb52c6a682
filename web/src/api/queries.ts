// What pages read, under the keys that the event stream makes stale.

import { queryOptions, useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { get, segment } from "./client";
import type { ActionView, ApprovalView, AppView, ExplanationView, Graph, LatestRunsView, MeView, Page, ProjectCostView, ResourceView, RunOutlookView, RunTotalsView, RunView, SiteView, TaskView, TilesView, WorkflowView } from "./types";

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

/** How often the outlook of a run that goes on is asked for: time passes in it, whether something happens or not. */
const OUTLOOK_MS = 3_000;

/** What a run waits for, what it will still cost and when it will be done. Asked for again when its phase or its people change, and every few
 * seconds while it goes on; not at every event, since a large run has many. */
export function useOutlook(run: RunView, live: boolean) {
  return useQuery({
    queryKey: ["outlook", run.name, run.phase, run.waiting_for_human],
    queryFn: ({ signal }) => get<RunOutlookView>(`/api/v1/runs/${segment(run.name)}/outlook`, signal),
    refetchInterval: live ? OUTLOOK_MS : false,
    placeholderData: (old) => old,
  });
}

/** A run in tiles: of the actions in a range of numbers or of all, now or at a moment. */
export function tilesOptions(run: string, range?: [number, number], at?: number) {
  const [from, to] = range ?? [undefined, undefined];
  // Moments are asked for in steps, so that moving the slider does not ask at every pixel.
  const when = at === undefined ? undefined : new Date(Math.ceil(at / 10) * 10).toISOString();
  return queryOptions({
    queryKey: ["run", run, "tiles", from, to, when],
    queryFn: ({ signal }) => get<TilesView>(`/api/v1/runs/${segment(run)}/tiles${search({ from, to, at: when })}`, signal),
  });
}

export function useTiles(run: string, range: [number, number] | undefined, at: number | undefined) {
  return useQuery({ ...tilesOptions(run, range, at), placeholderData: (old) => old });
}

/** Actions that are read from the end of a large run, and room for those that are opened meanwhile. */
const NEWEST = 500;

/** The actions of a large run that were opened last: the run itself comes with the first thousand. */
export function useNewest(run: RunView, wanted: boolean) {
  return useQuery({
    enabled: wanted,
    queryKey: ["run", run.name, "newest"],
    queryFn: async ({ signal }) => (await get<Page<ActionView>>(`/api/v1/runs/${segment(run.name)}/actions${search({ limit: 2 * NEWEST, cursor: Math.max(0, run.actions_total - NEWEST) })}`, signal)).items,
    placeholderData: (old) => old,
  }).data;
}

export function useAction(run: string, path: string) {
  return useQuery({
    queryKey: ["run", run, "action", path],
    queryFn: ({ signal }) => get<ActionView>(`/api/v1/runs/${segment(run)}/action${search({ path })}`, signal),
  });
}

export function useExplanation(run: string, path: string) {
  return useQuery({
    queryKey: ["run", run, "explain", path],
    queryFn: async ({ signal }) => (await get<ExplanationView[]>(`/api/v1/runs/${segment(run)}/explain${search({ path })}`, signal))[0] ?? null,
  });
}

export function useApprovals() {
  return useQuery({ queryKey: ["approvals"], queryFn: ({ signal }) => get<ApprovalView[]>("/api/v1/approvals", signal) });
}

/** Who calls, as the server knows them. */
export function useMe() {
  return useQuery({ queryKey: ["me"], queryFn: ({ signal }) => get<MeView>("/api/v1/me", signal), staleTime: 60_000 });
}

export function useSites() {
  return useQuery({ queryKey: ["sites"], queryFn: ({ signal }) => get<SiteView[]>("/api/v1/sites", signal) });
}

export function useWorkflows() {
  return useQuery({
    queryKey: ["resources", "workflow"],
    queryFn: ({ signal }) => get<ResourceView[]>("/api/v1/resources/workflow", signal),
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
  return useQuery({ queryKey: ["resources", "tasks"], queryFn: ({ signal }) => get<TaskView[]>("/api/v1/tasks?limit=1000", signal) });
}

/** The apps that Flyte programs deployed. */
export function useApps() {
  return useQuery({ queryKey: ["resources", "apps"], queryFn: ({ signal }) => get<AppView[]>("/api/v1/apps", signal) });
}

/** The latest runs of each workflow and task. */
export function useLatestRuns() {
  return useQuery({
    queryKey: ["runs", "latest"],
    queryFn: async ({ signal }) => new Map((await get<LatestRunsView[]>("/api/v1/runs:latest", signal)).map((row) => [row.workflow, row.runs])),
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
