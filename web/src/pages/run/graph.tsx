// The picture of a workflow, and of a run of it: boxes in layers, the phase of each node on its box.

import type { ActionView, Graph, GraphNode } from "../../api/types";
import { layout, wirePath, type Way } from "../../lib/layers";
import { isOver, lookOf, type Tone } from "../../lib/phases";

const BOX = { width: 176, height: 44, pad: 24 };
/** The distance from box to box: along the flow, and beside it. */
const STEP = { across: { along: 240, beside: 64 }, down: { along: 84, beside: 204 } };
/** Longer chains than this run down the picture: across they would not fit. */
const ACROSS_MAX = 5;
const NODES_MAX = 400;

function kindOf(node: GraphNode): string {
  if (typeof node.kind === "string") return node.kind;
  return typeof node.kind === "object" && node.kind !== null ? (Object.keys(node.kind)[0] ?? "") : "";
}

const STROKES: Record<Tone, string> = { good: "stroke-good", bad: "stroke-bad", warn: "stroke-warn", busy: "stroke-busy", idle: "stroke-line" };
const INKS: Record<Tone, string> = { good: "fill-good", bad: "fill-bad", warn: "fill-warn", busy: "fill-busy", idle: "fill-idle" };

/** What of a node is drawn. */
export type PictureNode = { id: string; kind: string; after: number[]; action?: ActionView | null; below?: Record<string, number> };

/** The nodes of a workflow that is not running. */
export const nodesOf = (graph: Graph): PictureNode[] =>
  graph.nodes.map((node) => ({ id: node.id, kind: kindOf(node), after: [...new Set([...(node.refs ?? []), ...(node.after ?? []), ...(node.chosen_by ?? [])])] }));

/** How many of what is below a node are over. */
export function doneBelow(below: Record<string, number> | undefined): { done: number; all: number } {
  let [done, all] = [0, 0];
  for (const [phase, count] of Object.entries(below ?? {})) {
    all += count;
    if (isOver(phase)) done += count;
  }
  return { done, all };
}

/** `live` says that these are the nodes of a run: then a node without an action has not been reached. */
type Props = { workflow: string; nodes: PictureNode[]; live?: boolean; onOpen?: (path: string) => void };

export function GraphPicture({ workflow, nodes, live = false, onOpen }: Props) {
  if (nodes.length > NODES_MAX) {
    return <p className="p-4 text-soft">{nodes.length} nodes are too many for one picture: the table and the timeline show them all.</p>;
  }
  const edges = nodes.flatMap((node, index) => node.after.map((from): [number, number] => [from, index]));
  const { placed, ways } = layout(nodes.length, edges);
  const layers = Math.max(0, ...placed.map((at) => at.layer));
  const down = layers >= ACROSS_MAX;
  const step = down ? STEP.down : STEP.across;
  const spot = ({ layer, row }: Way) => (down ? { x: BOX.pad + row * step.beside, y: BOX.pad + layer * step.along } : { x: BOX.pad + layer * step.along, y: BOX.pad + row * step.beside });
  const spots = [...placed, ...ways.flat()].map(spot);
  const width = Math.max(0, ...spots.map(({ x }) => x)) + BOX.width + BOX.pad;
  const height = Math.max(0, ...spots.map(({ y }) => y)) + BOX.height + BOX.pad;
  const line = (from: Way, way: Way[], to: Way) => {
    const [a, b] = [spot(from), spot(to)];
    const [middleX, middleY] = [BOX.width / 2, BOX.height / 2];
    const passes = way.map(spot).map(({ x, y }): [[number, number], [number, number]] =>
      down ? [[x + middleX, y], [x + middleX, y + BOX.height]] : [[x, y + middleY], [x + BOX.width, y + middleY]],
    );
    return down ? wirePath([a.x + middleX, a.y + BOX.height], passes, [b.x + middleX, b.y], true) : wirePath([a.x + BOX.width, a.y + middleY], passes, [b.x, b.y + middleY], false);
  };
  return (
    <div tabIndex={0} role="region" aria-label="The graph" className="overflow-auto">
      <svg width={width} height={height} role="group" aria-label={`the graph of ${workflow}`} className="block">
        {edges.map(([from, to], index) => {
          const [a, b] = [placed[from], placed[to]];
          if (!a || !b) return null;
          return <path key={index} d={line(a, ways[index]!, b)} className="fill-none stroke-faint" strokeWidth={1.25} />;
        })}
        {placed.map((at) => {
          const node = nodes[at.index]!;
          return <Box key={node.id} node={node} {...spot(at)} live={live} onOpen={onOpen} />;
        })}
      </svg>
    </div>
  );
}

type BoxProps = { node: PictureNode; x: number; y: number; live: boolean; onOpen?: (path: string) => void };

function Box({ node, x, y, live, onOpen }: BoxProps) {
  const action = node.action ?? undefined;
  const shown = action ? lookOf(action) : null;
  const { done, all } = doneBelow(node.below);
  const below = all > 0 ? `${done.toLocaleString()} of ${all.toLocaleString()}` : "";
  const words = `${node.id}, ${node.kind}${action?.site ? ` at ${action.site}` : ""}${below ? `, ${below} below it done` : ""}${shown ? `, ${shown.words}` : live ? ", not reached yet" : ""}`;
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
        {node.kind}
        {below ? ` · ${below}` : action?.site ? ` · ${action.site}` : ""}
      </text>
      {shown ? (
        <text aria-hidden x={BOX.width - 14} y={20} textAnchor="end" className={`text-[13px] ${INKS[shown.tone]}`}>
          {shown.glyph}
        </text>
      ) : null}
    </g>
  );
}
