// The routes. Every view is an address, tabs and filters included.

import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";

import type { Question } from "./api/governance";
import { oneOf, pairOf, textOf as text, yes } from "./lib/address";
import type { CostBy } from "./lib/charts";
import { EXAMPLES, type Example } from "./lib/examples";
import { questionOf } from "./pages/governance/question";
import { HomePage } from "./pages/home";
import { InboxPage } from "./pages/inbox";
import { RunPage } from "./pages/run";
import { runSearch, type RunSearch } from "./pages/run/search";
import { RunsPage } from "./pages/runs";
import { SettingsPage } from "./pages/settings";
import { SitesPage } from "./pages/sites";
import { WorkflowPage } from "./pages/workflow";
import { KINDS, WorkflowsPage } from "./pages/workflows";
import { Broken, NotFound, Shell } from "./shell";

/** The list of keys can be opened over every page, and is a part of its address. */
const root = createRootRoute({
  component: Shell,
  notFoundComponent: NotFound,
  validateSearch: (search: Record<string, unknown>): { keys?: true } => ({ keys: yes(search.keys) }),
});

const home = createRoute({ getParentRoute: () => root, path: "/", component: HomePage });
const runs = createRoute({
  getParentRoute: () => root,
  path: "/runs",
  component: RunsPage,
  validateSearch: (search: Record<string, unknown>): { phase?: string; workflow?: string } => ({
    phase: text(search.phase),
    workflow: text(search.workflow),
  }),
});
const run = createRoute({
  getParentRoute: () => root,
  path: "/runs/$run",
  component: RunPage,
  validateSearch: (search: Record<string, unknown>): RunSearch => runSearch(search),
});
const workflows = createRoute({
  getParentRoute: () => root,
  path: "/workflows",
  component: WorkflowsPage,
  validateSearch: (search: Record<string, unknown>): { find?: string; kind?: (typeof KINDS)[number] } => ({ find: text(search.find), kind: oneOf(search.kind, KINDS) }),
});
const task = createRoute({ getParentRoute: () => root, path: "/task/$", component: lazyRouteComponent(() => import("./pages/task"), "TaskPage") });
const workflow = createRoute({ getParentRoute: () => root, path: "/workflow/$", component: WorkflowPage });
// The builder brings an editor and a canvas with it, and is loaded when it is opened.
const build = createRoute({
  getParentRoute: () => root,
  path: "/build",
  component: lazyRouteComponent(() => import("./pages/build"), "BuildPage"),
  validateSearch: (search: Record<string, unknown>): { workflow?: string; example?: Example; node?: string; pane?: string; test?: true; draw?: [string, string] } => ({
    workflow: text(search.workflow),
    example: oneOf(search.example, Object.keys(EXAMPLES) as Example[]),
    node: text(search.node),
    pane: text(search.pane),
    test: yes(search.test),
    draw: pairOf(search.draw),
  }),
});
const inbox = createRoute({
  getParentRoute: () => root,
  path: "/inbox",
  component: InboxPage,
  validateSearch: (search: Record<string, unknown>): { run?: string; action?: string; of?: string; delegate?: true; reject?: true } => ({
    run: text(search.run),
    action: text(search.action),
    of: text(search.of),
    delegate: yes(search.delegate),
    reject: yes(search.reject),
  }),
});
const sites = createRoute({
  getParentRoute: () => root,
  path: "/sites",
  component: SitesPage,
  validateSearch: (search: Record<string, unknown>): { drain?: string } => ({ drain: text(search.drain) }),
});
// Pictures bring a library with them.
const costs = createRoute({
  getParentRoute: () => root,
  path: "/costs",
  component: lazyRouteComponent(() => import("./pages/costs"), "CostsPage"),
  validateSearch: (search: Record<string, unknown>): { by?: CostBy; days?: number; of?: string; ahead?: number; hours?: number } => ({
    by: oneOf(search.by, ["project", "workflow", "site"] as const),
    days: oneOf(search.days, [7, 30, 90, 365]),
    of: text(search.of),
    ahead: oneOf(search.ahead, [1, 6, 24, 168]),
    hours: oneOf(search.hours, [1, 6, 24, 168]),
  }),
});
const audit = createRoute({
  getParentRoute: () => root,
  path: "/audit",
  component: lazyRouteComponent(() => import("./pages/audit"), "AuditPage"),
  validateSearch: (search: Record<string, unknown>): { run?: string; what?: string; who?: string } => ({ run: text(search.run), what: text(search.what), who: text(search.who) }),
});
const governance = createRoute({
  getParentRoute: () => root,
  path: "/governance",
  component: lazyRouteComponent(() => import("./pages/governance"), "GovernancePage"),
  validateSearch: (search: Record<string, unknown>): { tab?: string; ask?: Question; write?: true | string } => ({ tab: text(search.tab), ask: questionOf(search.ask), write: yes(search.write) ?? text(search.write) }),
});
const artifacts = createRoute({
  getParentRoute: () => root,
  path: "/artifacts",
  component: lazyRouteComponent(() => import("./pages/artifacts"), "ArtifactsPage"),
  validateSearch: (search: Record<string, unknown>): { digest?: string; tag?: string } => ({ digest: text(search.digest), tag: text(search.tag) }),
});
const admin = createRoute({
  getParentRoute: () => root,
  path: "/admin",
  component: lazyRouteComponent(() => import("./pages/admin"), "AdminPage"),
  validateSearch: (search: Record<string, unknown>): { tab?: string; make?: true; revoke?: string } => ({ tab: text(search.tab), make: yes(search.make), revoke: text(search.revoke) }),
});
const settings = createRoute({ getParentRoute: () => root, path: "/settings", component: SettingsPage });

/** Addresses that the Flyte SDK prints: of runs, with an action of them, of tasks, and of what stands in the list of all that can be run. */
const printed = createRoute({
  getParentRoute: () => root,
  path: "/v2/domain/$domain/project/$project/$kind/$name",
  validateSearch: (search: Record<string, unknown>): { i?: string } => ({ i: text(search.i) }),
  beforeLoad: ({ params: { domain, project, kind, name }, search }) => {
    if (kind === "runs") throw redirect({ to: "/runs/$run", params: { run: name }, search: { action: search.i }, replace: true });
    if (kind === "tasks") throw redirect({ to: "/task/$", params: { _splat: `${project}/${domain}/${name}` }, replace: true });
    throw redirect({ to: "/workflows", search: { find: name }, replace: true });
  },
});

export const router = createRouter({
  routeTree: root.addChildren([home, runs, run, workflows, workflow, task, build, inbox, sites, costs, artifacts, governance, audit, admin, settings, printed]),
  defaultPreload: "intent",
  defaultErrorComponent: Broken,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
