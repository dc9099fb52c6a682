// The views of the REST API that this app reads. They come from the server's own description, so that drift is a type error.

import type { components } from "./schema";

type Schemas = components["schemas"];

export type RunView = Schemas["RunView"];
export type ActionView = Schemas["ActionView"];
export type RunGraphView = Schemas["RunGraphView"];
export type TilesView = Schemas["TilesView"];
export type TileView = Schemas["TileView"];
export type FailureView = Schemas["FailureView"];
export type ApprovalView = Omit<Schemas["ApprovalView"], "assign" | "show" | "form"> & {
  assign: Assignment;
  show: unknown;
  form: JsonSchema | null;
};
export type MeView = Schemas["MeView"];
export type WithheldView = Schemas["WithheldView"];
export type PersonView = Schemas["PersonView"];
export type SiteView = Schemas["SiteView"];
export type HeldView = Schemas["HeldView"];
export type SiteQueueView = Schemas["SiteQueueView"];
export type ResourceView = Omit<Schemas["ResourceView"], "body"> & { body?: Record<string, unknown> };
export type WorkflowView = Schemas["WorkflowView"];
export type TaskView = Omit<Schemas["TaskView"], "inputs" | "outputs"> & { inputs: JsonSchema | null; outputs: JsonSchema | null };
export type AppView = Schemas["AppView"];
export type RunMark = Schemas["RunMark"];
export type LatestRunsView = Schemas["LatestRunsView"];
export type RunOutlookView = Schemas["RunOutlookView"];
export type MomentView = Schemas["MomentView"];
export type OutlookView = Schemas["OutlookView"];
export type WaitView = Schemas["WaitView"];
export type RunWhatIfRequest = Schemas["RunWhatIfRequest"];
export type RunWhatIfView = Schemas["RunWhatIfView"];
export type SideView = Schemas["SideView"];
export type SiteChangeView = Schemas["SiteChangeView"];
export type FrameView = Schemas["FrameView"];
export type RerunPlanView = Schemas["RerunPlanView"];
export type LoadView = Schemas["LoadView"];
export type CostView = Schemas["CostView"];
export type DemandView = Schemas["DemandView"];
export type RunTotalsView = Schemas["RunTotalsView"];
export type ProjectCostView = Schemas["ProjectCostView"];
export type Problem = Omit<Schemas["Problem"], "hint" | "diagnostics"> & { hint?: string | null; diagnostics?: unknown };

export type Page<T> = { items: T[]; next?: string | null };

export type Assignment = {
  users?: string[];
  groups?: string[];
  then?: { after: string; users?: string[]; groups?: string[] }[];
};

/** As much of JSON Schema as forms are made from. */
export type JsonSchema = {
  type?: string | string[];
  title?: string;
  description?: string;
  enum?: unknown[];
  default?: unknown;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  format?: string;
};

export type Port = { name: string; schema: JsonSchema; default?: unknown };

export type GraphNode = {
  id: string;
  kind: unknown;
  refs?: number[];
  after?: number[];
  chosen_by?: number[];
};

export type Graph = { workflow: string; description?: string; inputs?: Port[]; nodes: GraphNode[] };

/** A site as the placer saw it when it decided. */
export type Candidate = {
  site: string;
  verdict?: string;
  reason?: string;
  cost?: number;
  [term: string]: unknown;
};

export type ExplanationView = {
  path: string;
  phase: string;
  summary: string;
  site?: string | null;
  placement: unknown;
};
