// The workflows of this server, each with its latest runs.

import { Link } from "@tanstack/react-router";

import { useRuns, useWorkflows } from "../api/queries";
import type { RunView } from "../api/types";
import { seconds } from "../lib/format";
import { useRowKeys } from "../lib/keys";
import { look, type Tone } from "../lib/phases";
import { Ago, Card, Empty, Failed, Loading, PageHead, Td, Th } from "../ui/kit";

const SPARK_RUNS = 20;

export function WorkflowsPage() {
  const workflows = useWorkflows();
  useRowKeys();
  const runs = useRuns({ limit: 200 }).data?.pages[0]?.items ?? [];
  return (
    <>
      <PageHead title="Workflows">
        <Link to="/build" search={{}} className="inline-flex min-h-8 items-center rounded-md bg-accent px-3 font-medium text-on-accent">
          New workflow
        </Link>
      </PageHead>
      <Card>
        {workflows.error ? (
          <Failed error={workflows.error} retry={() => void workflows.refetch()} />
        ) : workflows.isPending ? (
          <Loading what="workflows" />
        ) : workflows.data.length === 0 ? (
          <Empty title="No workflow is registered" code="tutti apply -f greet.workflow.yaml">
            A workflow is one readable YAML file. Register it from a terminal:
          </Empty>
        ) : (
          <table className="w-full">
            <thead className="border-b border-line">
              <tr>
                <Th>Workflow</Th>
                <Th>Last runs</Th>
                <Th>Version</Th>
                <Th>Applied</Th>
                <Th>By</Th>
              </tr>
            </thead>
            <tbody>
              {workflows.data.map((workflow) => (
                <tr key={workflow.name} className="border-b border-line last:border-0 hover:bg-surface">
                  <Td>
                    <Link to="/workflow/$" params={{ _splat: workflow.name }} data-row className="font-medium text-accent hover:underline">
                      {workflow.name}
                    </Link>
                  </Td>
                  <Td>
                    <Spark runs={runs.filter((run) => run.workflow === workflow.name).slice(0, SPARK_RUNS)} />
                  </Td>
                  <Td className="text-soft">{workflow.version}</Td>
                  <Td className="text-soft">
                    <Ago at={workflow.applied_at} />
                  </Td>
                  <Td className="text-soft">{workflow.principal}</Td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Card>
    </>
  );
}

const FILLS: Record<Tone, string> = { good: "fill-good", bad: "fill-bad", warn: "fill-warn", busy: "fill-busy", idle: "fill-idle" };

/** One run: a full bar went well, a broken one failed, an empty one is under way or waits, a thin one counts no more. */
function Bar({ tone, x, height }: { tone: Tone; x: number; height: number }) {
  const y = 22 - height;
  if (tone === "bad") return <path d={`M${x} ${y}h5v${height - 4}l-5 2zM${x} 22v-1l5 -2v3z`} />;
  if (tone === "busy" || tone === "warn") return <path fillRule="evenodd" d={`M${x} ${y}h5v${height}h-5zM${x + 1.5} ${y + 1.5}v${height - 3}h2v-${height - 3}z`} />;
  return <rect x={tone === "idle" ? x + 1.5 : x} y={y} width={tone === "idle" ? 2 : 5} height={height} rx={1} />;
}

/** The latest runs as bars, oldest first: as high as they took long, beside the longest of them. */
export function Spark({ runs }: { runs: RunView[] }) {
  if (runs.length === 0) return <span className="text-faint">never run</span>;
  const longest = Math.max(...runs.map((run) => run.seconds), 0.001);
  const words = runs.map((run) => `${run.name} ${look(run.phase).words} in ${seconds(run.seconds)}`).join(", ");
  return (
    <svg role="img" aria-label={words} width={SPARK_RUNS * 7} height={22} className="block">
      {runs.toReversed().map((run, index) => {
        const height = 4 + 18 * (run.seconds / longest);
        return (
          <g key={run.number} className={FILLS[look(run.phase).tone]}>
            <title>{`${run.name}: ${look(run.phase).words}, ${seconds(run.seconds)}`}</title>
            <Bar tone={look(run.phase).tone} x={index * 7} height={height} />
          </g>
        );
      })}
    </svg>
  );
}
