// The routes. Every view is an address, tabs and filters included.

import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";

import { HomePage } from "./pages/home";
import { InboxPage } from "./pages/inbox";
import { RunPage } from "./pages/run";
import { RunsPage } from "./pages/runs";
import { SettingsPage } from "./pages/settings";
import { SitesPage } from "./pages/sites";
import { WorkflowPage } from "./pages/workflow";
import { WorkflowsPage } from "./pages/workflows";
import { NotFound, Shell } from "./shell";

const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

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
  validateSearch: (search: Record<string, unknown>): { tab?: string; action?: string; pane?: string } => ({
    tab: text(search.tab),
    action: text(search.action),
    pane: text(search.pane),
  }),
});
const workflows = createRoute({ getParentRoute: () => root, path: "/workflows", component: WorkflowsPage });
const workflow = createRoute({ getParentRoute: () => root, path: "/workflow/$", component: WorkflowPage });
// The builder brings an editor and a canvas with it, and is loaded when it is opened.
const build = createRoute({
  getParentRoute: () => root,
  path: "/build",
  component: lazyRouteComponent(() => import("./pages/build"), "BuildPage"),
  validateSearch: (search: Record<string, unknown>): { workflow?: string } => ({ workflow: text(search.workflow) }),
});
const inbox = createRoute({
  getParentRoute: () => root,
  path: "/inbox",
  component: InboxPage,
  validateSearch: (search: Record<string, unknown>): { run?: string; action?: string; of?: string } => ({
    run: text(search.run),
    action: text(search.action),
    of: text(search.of),
  }),
});
const sites = createRoute({ getParentRoute: () => root, path: "/sites", component: SitesPage });
const audit = createRoute({ getParentRoute: () => root, path: "/audit", component: lazyRouteComponent(() => import("./pages/audit"), "AuditPage") });
const governance = createRoute({
  getParentRoute: () => root,
  path: "/governance",
  component: lazyRouteComponent(() => import("./pages/governance"), "GovernancePage"),
  validateSearch: (search: Record<string, unknown>): { tab?: string } => ({ tab: text(search.tab) }),
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
  validateSearch: (search: Record<string, unknown>): { tab?: string } => ({ tab: text(search.tab) }),
});
const settings = createRoute({ getParentRoute: () => root, path: "/settings", component: SettingsPage });

export const router = createRouter({
  routeTree: root.addChildren([home, runs, run, workflows, workflow, build, inbox, sites, artifacts, governance, audit, admin, settings]),
  defaultPreload: "intent",
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
