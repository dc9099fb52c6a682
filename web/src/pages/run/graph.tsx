// The picture of a workflow, and of a run of it: boxes in layers, the phase of each node on its box.

import type { ActionView, Graph, GraphNode } from "../../api/types";
import { layout, wirePath, type Way } from "../../lib/layers";
import { lookOf, type Tone } from "../../lib/phases";

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

/** `whole` says whether these are all actions: of a large run the page has those at its beginning and at its end. */
type Props = { graph: Graph; actions?: ActionView[]; whole?: boolean; onOpen?: (path: string) => void };

export function GraphPicture({ graph, actions, whole = true, onOpen }: Props) {
  if (graph.nodes.length > NODES_MAX) {
    return <p className="p-4 text-soft">{graph.nodes.length} nodes are too many for one picture: the table and the timeline show them all.</p>;
  }
  const edges = graph.nodes.flatMap((node, index) =>
    [...(node.refs ?? []), ...(node.after ?? []), ...(node.chosen_by ?? [])].map((from): [number, number] => [from, index]),
  );
  const { placed, ways } = layout(graph.nodes.length, edges);
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
  const byPath = new Map(actions?.map((action) => [action.path, action]));
  return (
    <div tabIndex={0} role="region" aria-label="The graph" className="overflow-auto">
      <svg width={width} height={height} role="group" aria-label={`the graph of ${graph.workflow}`} className="block">
        {edges.map(([from, to], index) => {
          const [a, b] = [placed[from], placed[to]];
          if (!a || !b) return null;
          return <path key={index} d={line(a, ways[index]!, b)} className="fill-none stroke-faint" strokeWidth={1.25} />;
        })}
        {placed.map((at) => {
          const node = graph.nodes[at.index]!;
          return <Box key={node.id} node={node} {...spot(at)} action={byPath.get(node.id)} live={actions !== undefined} whole={whole} onOpen={onOpen} />;
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
