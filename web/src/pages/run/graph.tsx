// The picture of a workflow, and of a run of it: boxes in layers, the phase of each node on its box.

import type { ActionView, Graph, GraphNode } from "../../api/types";
import { layers } from "../../lib/layers";
import { lookOf, type Tone } from "../../lib/phases";

const BOX = { width: 176, height: 44, gapX: 64, gapY: 20, pad: 24 };
const NODES_MAX = 400;

function kindOf(node: GraphNode): string {
  if (typeof node.kind === "string") return node.kind;
  return typeof node.kind === "object" && node.kind !== null ? (Object.keys(node.kind)[0] ?? "") : "";
}

const STROKES: Record<Tone, string> = { good: "stroke-good", bad: "stroke-bad", warn: "stroke-warn", busy: "stroke-busy", idle: "stroke-line" };
const INKS: Record<Tone, string> = { good: "fill-good", bad: "fill-bad", warn: "fill-warn", busy: "fill-busy", idle: "fill-idle" };

/** `whole` says whether these are all actions: of a large run the page has those at its beginning and at its end. */
type Props = { graph: Graph; actions?: ActionView[]; whole?: boolean; onOpen?: (path: string) => void };

export function GraphPicture({ graph, actions, whole = true, onOpen }: Props) {
  if (graph.nodes.length > NODES_MAX) {
    return <p className="p-4 text-soft">{graph.nodes.length} nodes are too many for one picture: the table and the timeline show them all.</p>;
  }
  const edges = graph.nodes.flatMap((node, index) =>
    [...(node.refs ?? []), ...(node.after ?? []), ...(node.chosen_by ?? [])].map((from): [number, number] => [from, index]),
  );
  const placed = layers(graph.nodes.length, edges);
  const x = (layer: number) => BOX.pad + layer * (BOX.width + BOX.gapX);
  const y = (row: number) => BOX.pad + row * (BOX.height + BOX.gapY);
  const width = x(Math.max(0, ...placed.map((at) => at.layer))) + BOX.width + BOX.pad;
  const height = y(Math.max(0, ...placed.map((at) => at.row))) + BOX.height + BOX.pad;
  const byPath = new Map(actions?.map((action) => [action.path, action]));
  return (
    <div tabIndex={0} role="region" aria-label="The graph" className="overflow-auto">
      <svg width={width} height={height} role="group" aria-label={`the graph of ${graph.workflow}`} className="block">
        {edges.map(([from, to], index) => {
          const [a, b] = [placed[from], placed[to]];
          if (!a || !b) return null;
          const [x1, y1, x2, y2] = [x(a.layer) + BOX.width, y(a.row) + BOX.height / 2, x(b.layer), y(b.row) + BOX.height / 2];
          const bend = Math.max(24, (x2 - x1) / 2);
          return <path key={index} d={`M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`} className="fill-none stroke-faint" strokeWidth={1.25} />;
        })}
        {placed.map(({ index, layer, row }) => {
          const node = graph.nodes[index]!;
          return <Box key={node.id} node={node} x={x(layer)} y={y(row)} action={byPath.get(node.id)} live={actions !== undefined} whole={whole} onOpen={onOpen} />;
        })}
      </svg>
    </div>
  );
}

type BoxProps = { node: GraphNode; x: number; y: number; action?: ActionView; live: boolean; whole: boolean; onOpen?: (path: string) => void };

function Box({ node, x, y, action, live, whole, onOpen }: BoxProps) {
  const shown = action ? lookOf(action) : null;
  const words = `${node.id}, ${kindOf(node)}${action?.site ? ` at ${action.site}` : ""}${shown ? `, ${shown.words}` : live ? (whole ? ", not reached yet" : ", not among the first and the last actions") : ""}`;
  const open = action && onOpen ? () => onOpen(node.id) : undefined;
  return (
    <g
      transform={`translate(${x} ${y})`}
      role={open ? "button" : "img"}
      aria-label={open ? undefined : words}
      tabIndex={open ? 0 : undefined}
      onClick={open}
      onKeyDown={(event) => {
        if (!open || (event.key !== "Enter" && event.key !== " ")) return;
        // The blank would move the page.
        event.preventDefault();
        open();
      }}
    >
      <title>{words}</title>
      <rect width={BOX.width} height={BOX.height} rx={8} className={`fill-raised ${shown ? STROKES[shown.tone] : "stroke-line"}`} strokeWidth={1.5} strokeDasharray={action?.phase === "skipped" ? "4 4" : live && !action ? "1 4" : undefined} />
      <text aria-hidden x={12} y={19} className={`text-[13px] font-medium ${live && !action ? "fill-soft" : "fill-ink"}`}>
        {node.id.length > 20 ? `${node.id.slice(0, 19)}…` : node.id}
      </text>
      <text aria-hidden x={12} y={35} className="fill-soft text-[11px]">
        {kindOf(node)}
        {action?.site ? ` · ${action.site}` : ""}
      </text>
      {shown ? (
        <text aria-hidden x={BOX.width - 14} y={20} textAnchor="end" className={`text-[13px] ${INKS[shown.tone]}`}>
          {shown.glyph}
        </text>
      ) : null}
    </g>
  );
}
