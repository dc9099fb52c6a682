// Values of the last run beside what is being written: what its nodes gave, and what the expressions here would give with that.

import { useQueries, useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";

import { get, segment } from "../../api/client";
import { evaluate, scope, type Beside, type Evaluated, type Scope, type Values } from "../../api/editing";
import type { ActionView, Page, RunView } from "../../api/types";
import { valueAt } from "../../lib/expressions";
import { isOver } from "../../lib/phases";
import { inputsRead, references } from "./document";

const LOOKED_AT = 10;
/** What ended does not change, and the last run is looked for again after this. */
const STALE_MS = 20_000;

/** What a text refers to, as a part of a key: contents of files are left out of it, their sizes are not. */
export const besideKey = ({ workflow, files }: Beside): string => [workflow ?? "", ...Object.entries(files ?? {}).map(([path, text]) => `${path} ${text.length}`)].join("\n");

/** The name of the latest run of a workflow that has ended, or of the latest. */
export function useLastRun(workflow: string | undefined): string | undefined {
  const found = useQuery({
    queryKey: ["last-run", workflow],
    queryFn: async ({ signal }) => {
      const page = await get<Page<RunView>>(`/api/v1/runs?workflow=${encodeURIComponent(workflow!)}&limit=${LOOKED_AT}`, signal);
      return (page.items.find((run) => isOver(run.phase)) ?? page.items[0])?.name ?? null;
    },
    enabled: workflow !== undefined,
    staleTime: STALE_MS,
    refetchOnWindowFocus: true,
  });
  return found.data ?? undefined;
}

/** The names that expressions see, with their types; what was known stays until something newer is. */
export function useScope(text: string, beside: Beside, node: string | undefined, wanted = true): Scope | undefined {
  return useQuery({
    queryKey: ["scope", text, besideKey(beside), node],
    queryFn: ({ signal }) => scope(text, beside, node, signal),
    enabled: wanted,
    placeholderData: (old) => old,
    staleTime: STALE_MS,
  }).data;
}

const outputOptions = (run: string, node: string) => ({
  queryKey: ["past", run, node],
  queryFn: async () => (await get<ActionView>(`/api/v1/runs/${segment(run)}/action?path=${encodeURIComponent(node)}`).catch(() => null))?.output ?? null,
  staleTime: STALE_MS,
});

const inputsOptions = (run: string) => ({
  queryKey: ["past", run],
  queryFn: async () => (await get<RunView>(`/api/v1/runs/${segment(run)}?actions=1`).catch(() => null))?.inputs ?? null,
  staleTime: STALE_MS,
});

/** What a run was given and what some of its nodes gave, as the names of expressions. Nothing of what this person may not see. */
export function usePastValues(run: string | undefined, nodes: string[]): { inputs?: unknown; nodes: Record<string, unknown> } {
  const outputs = useQueries({ queries: run === undefined ? [] : nodes.map((node) => outputOptions(run, node)) });
  const inputs = useQuery({ ...inputsOptions(run ?? ""), enabled: run !== undefined });
  return { inputs: inputs.data ?? undefined, nodes: Object.fromEntries(nodes.flatMap((node, at) => (outputs[at]?.data == null ? [] : [[node, outputs[at].data]]))) };
}

async function valuesOf(queries: QueryClient, run: string, sources: string[]): Promise<Values> {
  const written = sources.map((source) => `\${ ${source} }`);
  const ids = references(written);
  const outputs = await Promise.all(ids.map((id) => queries.fetchQuery(outputOptions(run, id))));
  const inputs = inputsRead(written).length > 0 ? await queries.fetchQuery(inputsOptions(run)) : undefined;
  return { inputs: inputs ?? {}, nodes: Object.fromEntries(ids.flatMap((id, at) => (outputs[at] == null ? [] : [[id, outputs[at]]]))) };
}

export type Evaluation = Evaluated & {
  /** Nodes that it reads and that the run has nothing of: they did not run, or this person may not see it. */
  missing: string[];
};

type Asked = { text: string; beside: Beside; node: string | undefined; run: string | undefined; sources: string[]; items?: string };

/** What expressions are and what they would give with the values of a run. */
export function useEvaluations({ text, beside, node, run, sources, items }: Asked): Map<string, Evaluation> | undefined {
  const queries = useQueryClient();
  return useQuery({
    queryKey: ["evaluated", text, besideKey(beside), node, run, sources, items],
    queryFn: async ({ signal }) => {
      const values = run === undefined ? undefined : await valuesOf(queries, run, items ? [...sources, items] : sources);
      if (values && items) {
        // What an `each` does is shown with the first of its items.
        const [list] = await evaluate([items], text, beside, node, values, signal);
        values.item = valueAt(list, ["value", 0]);
        values.index = 0;
      }
      const found = await evaluate(sources, text, beside, node, values, signal);
      const missing = (one: Evaluated) => (values ? one.nodes.filter((id) => !(id in (values.nodes ?? {}))) : []);
      return new Map(sources.map((source, at): [string, Evaluation] => [source, { ...found[at]!, missing: missing(found[at]!) }]));
    },
    enabled: sources.length > 0,
    placeholderData: (old) => old,
    staleTime: STALE_MS,
  }).data;
}
