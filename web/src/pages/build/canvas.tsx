// The picture of the file. Nodes stand where they are pinned, the others where the layout puts them; every change is an edit of the text.

import "@xyflow/react/dist/style.css";

import { Background, BaseEdge, Controls, Handle, MarkerType, Position, ReactFlow, useStore, type Connection, type Edge, type EdgeProps, type FitViewOptions, type Node, type NodeProps } from "@xyflow/react";
import { memo, useEffect, useLayoutEffect, useMemo, useRef, useState, type RefObject } from "react";
import { flushSync } from "react-dom";

import type { Beside, Forbidden, Sheet, Wiring } from "../../api/editing";
import { layout, wirePath, type Way } from "../../lib/layers";
import { Button } from "../../ui/kit";
import { tagColour } from "../../lib/tags";
import { findingsBy, kindOf, nodesOf, pins, summary, wires, type Doc } from "./document";
import { barred, useWires } from "./drawing";
import { ARROWS, neighbour } from "./walk";
import { WireDialog } from "./wiring";

type Data = { down: boolean; id: string; kind: string; words: string; note?: string; wrong: number; refused?: string; barred?: string };
type FlowNode = Node<Data, "step">;

const STEP = { x: 264, y: 104 };
const STEP_DOWN = { x: 240, y: 124 };
/** Longer chains than this run down the picture, where there is room for them. */
const ACROSS_MAX = 5;

const KIND_GLYPHS: Record<string, string> = { use: "⧉", run: "▸", task: "ƒ", workflow: "◫", human: "☺", wait: "◷", each: "≡", decide: "◇" };

function Step({ data, selected }: NodeProps<FlowNode>) {
  return (
    <div className={`w-52 rounded-lg border bg-raised px-3 py-2 shadow-sm ${selected ? "border-accent ring-2 ring-accent/30" : data.wrong || data.refused ? "border-bad" : "border-line"}`}>
      <Handle type="target" position={data.down ? Position.Top : Position.Left} className="!size-2.5 !border-line !bg-soft" />
      <div className="flex items-baseline justify-between gap-2">
        <span className="truncate font-medium">{data.id}</span>
        <span className="text-[11px] text-soft">
          {KIND_GLYPHS[data.kind] ?? "?"} {data.kind || "no kind"}
        </span>
      </div>
      <div className="truncate font-mono text-[11px] text-soft">{data.words || " "}</div>
      {data.note ? <div className="mt-1 line-clamp-2 text-[11px] text-faint">{data.note}</div> : null}
      {data.barred ? <div className="is-barred mt-1 text-[11px] text-bad">✕ {data.barred}</div> : null}
      {data.refused ? <div className="mt-1 text-[11px] text-bad">✕ {data.refused}</div> : null}
      {data.wrong ? <div className="mt-1 text-[11px] text-bad">✕ {data.wrong === 1 ? "1 finding" : `${data.wrong} findings`}</div> : null}
      <Handle type="source" position={data.down ? Position.Bottom : Position.Right} className="!size-2.5 !border-line !bg-accent" />
    </div>
  );
}

const NODE_TYPES = { step: Step };

/** The size of a node as far as wires beside it are concerned. */
const SIZE = { width: 208, height: 84 };
/** How far from the node that it leaves the words of a wire stand that passes others: wires that go together say it once. */
const WORDS_AFTER = 0.5;

type Line = Edge<{ kind: string; down: boolean; ways: [[number, number], [number, number]][] }, "line">;

function WireLine({ id, sourceX, sourceY, targetX, targetY, data, label, labelStyle, markerEnd, style, interactionWidth }: EdgeProps<Line>) {
  const { ways, down } = data!;
  const path = wirePath([sourceX, sourceY], ways, [targetX, targetY], down);
  const [toX, toY] = ways[0]?.[0] ?? [targetX, targetY];
  return (
    <BaseEdge
      id={id}
      path={path}
      label={label}
      labelX={sourceX + (toX - sourceX) * WORDS_AFTER}
      labelY={sourceY + (toY - sourceY) * WORDS_AFTER}
      labelStyle={labelStyle}
      labelBgPadding={[4, 1]}
      markerEnd={markerEnd}
      style={style}
      interactionWidth={interactionWidth}
    />
  );
}

/** Room around the picture, in hundredths of it. */
const PADDING = 4;
/** A picture is not opened smaller than this. */
const ZOOM_FIRST = 0.5;

const EDGE_TYPES = { line: WireLine };

type Places = { places: Record<string, { x: number; y: number }>; down: boolean; /** How far the nodes reach beside the flow, and the tracks beyond them. */ reach: { nodes: number; tracks: number }; ways: [[number, number], [number, number]][][] };

/** Where each node stands, where each wire passes others, and whether the flow runs down. Pinned pictures keep the direction in which they were pinned. */
function placesOf(doc: Doc): Places {
  const nodes = nodesOf(doc).map(([id]) => id);
  const index = new Map(nodes.map((id, at) => [id, at]));
  const drawn = wires(doc);
  const pinned = pins(doc);
  const { placed, ways } = layout(nodes.length, drawn.map((wire): [number, number] => [index.get(wire.from)!, index.get(wire.to)!]));
  const pins_ = Object.values(pinned);
  const spread = (axis: 0 | 1) => Math.max(...pins_.map((pin) => pin[axis])) - Math.min(...pins_.map((pin) => pin[axis]));
  const down = pins_.length > 1 ? spread(1) > spread(0) : Math.max(0, ...placed.map((at) => at.layer)) >= ACROSS_MAX;
  const free = ({ layer, row }: Way) => (down ? { x: Math.round(row * STEP_DOWN.x), y: layer * STEP_DOWN.y } : { x: layer * STEP.x, y: Math.round(row * STEP.y) });
  const places = Object.fromEntries(placed.map((at) => {
    const pin = pinned[nodes[at.index]!];
    return [nodes[at.index]!, pin ? { x: pin[0], y: pin[1] } : free(at)];
  }));
  // Among pinned nodes nobody knows what is free: there a wire goes straight.
  const passes = ways.map((way, at) => (pinned[drawn[at]!.from] || pinned[drawn[at]!.to] ? [] : way.map(free))).map((way) =>
    way.map(({ x, y }): [[number, number], [number, number]] => {
      const [middleX, middleY] = [x + SIZE.width / 2, y + SIZE.height / 2];
      return down ? [[middleX, y], [middleX, y + SIZE.height]] : [[x, middleY], [x + SIZE.width, middleY]];
    }),
  );
  const beside = Object.values(places).map((at) => (down ? at.x : at.y));
  const most = Math.max(0, ...beside) + (down ? SIZE.width : SIZE.height);
  const tracks = Math.max(most, ...passes.flat(2).map((point) => point[down ? 0 : 1])) - most;
  return { places, down, reach: { nodes: most - Math.min(0, ...beside), tracks }, ways: passes };
}

type Props = {
  sheet: Sheet;
  beside: Beside;
  /** Puts something that runs into a file that has nothing yet. */
  onExample?: () => void;
  /** What the rules say of the wires that there are. */
  wiring?: Wiring;
  /** Whether this is the picture of an older text: another is about to come. */
  behind: boolean;
  chosen?: string;
  onChoose: (id: string | undefined) => void;
  onPin: (id: string, at: [number, number]) => void;
  onWire: (from: string, to: string) => void;
  onUnwire: (from: string, to: string) => void;
  onRemove: (ids: string[]) => void;
};

/** Drawn anew when the text was read, not at every key and not when something beside it changes. */
export function Canvas(props: Props) {
  const latest = useRef(props);
  latest.current = props;
  const told = useMemo(
    (): Omit<Props, "sheet" | "beside" | "wiring" | "behind" | "chosen"> => ({
      onExample: () => latest.current.onExample?.(),
      onChoose: (id) => latest.current.onChoose(id),
      onPin: (id, at) => latest.current.onPin(id, at),
      onWire: (from, to) => latest.current.onWire(from, to),
      onUnwire: (from, to) => latest.current.onUnwire(from, to),
      onRemove: (ids) => latest.current.onRemove(ids),
    }),
    [],
  );
  const { sheet, beside, wiring, behind, chosen, onExample } = props;
  return (
    <div className="h-full min-h-0 min-w-0" aria-busy={behind}>
      <Drawn sheet={sheet} beside={beside} wiring={wiring} chosen={chosen} {...told} onExample={onExample ? told.onExample : undefined} />
    </div>
  );
}

/** Says of the picture that it is busy until its nodes stand where they were put: React Flow takes what it is given a moment later, and fits it another. */
function Standing({ nodes, box }: { nodes?: FlowNode[]; box: RefObject<HTMLDivElement | null> }) {
  const stands = useStore((store) => store.nodes === nodes && (!store.fitViewQueued || nodes.length === 0));
  useLayoutEffect(() => box.current?.setAttribute("aria-busy", String(!stands)), [box, stands]);
  return null;
}

const Drawn = memo(function Drawn({ sheet, beside, onExample, wiring: rules, chosen, onChoose, onPin, onWire, onUnwire, onRemove }: Omit<Props, "behind">) {
  const made = useMemo(() => picture(sheet, rules), [sheet, rules]);
  const [drawn, setDrawn] = useState<string>();
  const wires = useWires(sheet.text, beside, drawn);
  const bars = useMemo(() => (drawn && wires.data ? barred(wires.data.gives, wires.data.forbidden) : {}), [drawn, wires.data]);
  const [{ of, nodes }, lay] = useState({ of: made, nodes: made.nodes });
  const [wiring, setWiring] = useState<string>();
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // What was measured stays measured: a node that has to be measured again is hidden for a moment, and loses the focus.
    lay(({ nodes: old }) => {
      const sizes = new Map(old.map((node) => [node.id, node.measured]));
      return { of: made, nodes: made.nodes.map((node) => ({ ...node, measured: sizes.get(node.id), selected: node.id === chosen })) };
    });
  }, [made, chosen]);
  const shown = useMemo(() => {
    if (Object.keys(bars).length === 0) return nodes;
    return nodes.map((node) => (bars[node.id] ? { ...node, data: { ...node.data, barred: barWords(bars[node.id]!) } } : node));
  }, [nodes, bars]);
  const wired = useMemo(() => new Set(made.edges.flatMap((edge) => [`${edge.source} ${edge.target}`, `${edge.target} ${edge.source}`])), [made]);
  const onKeys = (event: React.KeyboardEvent) => {
    const arrow = ARROWS[event.key];
    if (event.metaKey || event.ctrlKey || event.altKey || (!arrow && event.key !== "w" && event.key !== "e")) return;
    const focused = (event.target as HTMLElement).closest<HTMLElement>(".react-flow__node")?.dataset.id;
    const here = focused ?? chosen;
    event.preventDefault();
    // The arrows walk; the picture's own would move what is chosen.
    event.stopPropagation();
    if (arrow) {
      const next = neighbour(nodes.map((node) => ({ id: node.id, ...node.position })), (a, b) => wired.has(`${a} ${b}`), here, arrow);
      if (next) {
        onChoose(next);
        box.current?.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(next)}"]`)?.focus();
      }
    } else if (event.key === "w" && here) setWiring(here);
    else if (event.key === "e" && here) {
      flushSync(() => onChoose(here));
      document.querySelector<HTMLElement>("[data-node-form] :is(input, textarea)")?.focus();
    }
  };
  return (
    <>
      {wiring ? <WireDialog from={wiring} to={nodes.map((node) => node.id).filter((id) => id !== wiring && !wired.has(`${wiring} ${id}`))} onWire={(to) => onWire(wiring, to)} onClose={() => setWiring(undefined)} /> : null}
      <div ref={box} className="relative h-full" onKeyDownCapture={onKeys}>
        {nodes.length === 0 ? <NothingDrawn onExample={onExample} /> : null}
        <ReactFlow
          nodes={shown}
          edges={made.edges}
          nodeTypes={NODE_TYPES}
          edgeTypes={EDGE_TYPES}
          onInit={(flow) => void flow.fitView(made.fit.first(box.current))}
          minZoom={0.1}
          onlyRenderVisibleElements={nodes.length > 100}
          deleteKeyCode={["Delete", "Backspace"]}
          onNodesChange={(changes) =>
            lay((old) => ({
              of: old.of,
              nodes: changes.reduce((now, change) => {
                if (change.type === "position" && change.position) return now.map((node) => (node.id === change.id ? { ...node, position: change.position! } : node));
                if (change.type === "dimensions" && change.dimensions) return now.map((node) => (node.id === change.id ? { ...node, measured: change.dimensions! } : node));
                return now;
              }, old.nodes),
            }))
          }
          onNodeDragStop={(_, node) => onPin(node.id, [Math.round(node.position.x), Math.round(node.position.y)])}
          onNodeClick={(_, node) => onChoose(node.id)}
          onPaneClick={() => onChoose(undefined)}
          onConnectStart={(_, { nodeId, handleType }) => setDrawn(handleType === "source" ? (nodeId ?? undefined) : undefined)}
          isValidConnection={({ source, target }) => !(source === drawn && bars[target])}
          onConnect={(connection: Connection) => onWire(connection.source, connection.target)}
          onConnectEnd={(_, { fromNode, fromHandle, toNode, isValid }) => {
            setDrawn(undefined);
            // A wire that may not be is let go over a node: why, and what else could be done, is told.
            if (isValid === false && fromNode && toNode && fromHandle?.type === "source" && bars[toNode.id]) onWire(fromNode.id, toNode.id);
          }}
          onBeforeDelete={async ({ nodes: going, edges: cut }) => {
            // The text is what changes; the picture follows it.
            for (const edge of cut) if (edge.data?.kind === "after") onUnwire(edge.source, edge.target);
            if (going.length > 0) onRemove(going.map((node) => node.id));
            return false;
          }}
          proOptions={{ hideAttribution: true }}
          aria-label="The picture of the workflow"
        >
          <Standing nodes={of === made ? shown : undefined} box={box} />
          <Background gap={20} color="var(--line)" />
          <Controls showInteractive={false} fitViewOptions={made.fit.options} />
        </ReactFlow>
      </div>
    </>
  );
});

/** An empty picture says how it is filled. */
function NothingDrawn({ onExample }: { onExample?: () => void }) {
  return (
    <div className="pointer-events-none absolute inset-0 z-10 grid place-items-center p-4">
      <div className="pointer-events-auto rounded-lg border border-line bg-raised p-6 text-center">
        <p className="font-medium">Nothing is drawn yet</p>
        <p className="mt-1 max-w-[32ch] text-soft">Add a node from the left. A wire is drawn from the right side of one node to the left side of the next.</p>
        {onExample ? (
          <Button className="mt-4" onClick={onExample}>
            Begin with an example
          </Button>
        ) : null}
      </div>
    </div>
  );
}

/** Why a node may not be wired to, in the room that there is beside it. */
function barWords(wire: Forbidden): string {
  const policies = Object.keys(wire.refused.policies);
  return `${policies[0] ?? "the rules"} forbids it${wire.allowed_at.length > 0 ? `; allowed at ${wire.allowed_at.join(", ")}` : ""}`;
}

/** How a picture is fitted into a box; at first no smaller than it can be read, so that its nodes come before what runs beside them. */
type Fit = { options: FitViewOptions<FlowNode>; first: (box: HTMLElement | null) => FitViewOptions<FlowNode> };

/** React Flow fits the nodes: what runs beside them is given room, in hundredths of the box. */
function fitting(down: boolean, { nodes, tracks }: Places["reach"]): Fit {
  const share = (tracks / (nodes + tracks)) * (100 - 2 * PADDING);
  const options = (room: number): FitViewOptions<FlowNode> => ({ padding: { x: `${PADDING}%`, y: `${PADDING}%`, [down ? "right" : "bottom"]: `${PADDING + Math.round(room)}%` } });
  const first = (box: HTMLElement | null) => {
    const size = (down ? box?.clientWidth : box?.clientHeight) ?? 0;
    const free = size > 0 ? 100 - 2 * PADDING - (100 * nodes * ZOOM_FIRST) / size : 0;
    return { ...options(Math.min(share, Math.max(0, free))), minZoom: ZOOM_FIRST, maxZoom: 1 };
  };
  return { options: options(share), first };
}

function picture(sheet: Sheet, wiring?: Wiring): { nodes: FlowNode[]; edges: Line[]; fit: Fit } {
  const doc = sheet.document;
  const { places, down, reach, ways } = placesOf(doc);
  const wrong = findingsBy(doc, sheet.text, sheet.findings);
  const labels = new Map((wiring?.wires ?? []).map((wire) => [`${wire.from} ${wire.to}`, wire.label]));
  const refused = new Map((wiring?.refused ?? []).map((step) => [step.path.split(/[/[!]/)[0]!, Object.keys(step.policies).join(", ")]));
  const nodes = nodesOf(doc).map(
    ([id, node]): FlowNode => ({
      id,
      type: "step",
      position: places[id]!,
      // Where its handles are is told, too: when the direction changes they have to be measured again, or wires end where handles were.
      sourcePosition: down ? Position.Bottom : Position.Right,
      targetPosition: down ? Position.Top : Position.Left,
      data: { down, id, kind: kindOf(node), words: summary(node), note: Object.hasOwn(sheet.notes, id) ? sheet.notes[id] : undefined, refused: refused.has(id) ? `refused by ${refused.get(id) || "policy"}` : undefined, wrong: (wrong[id] ?? []).filter((finding) => finding.severity === "error").length },
      ariaLabel: `${id}, ${kindOf(node)}`,
    }),
  );
  const edges = wires(doc).map((wire, at): Line => {
    const tags = wire.kind === "after" ? [] : (labels.get(`${wire.from} ${wire.to}`) ?? []);
    const colour = tags[0] ? tagColour(tags[0]) : "var(--faint)";
    return {
      id: `${wire.kind} ${wire.from} ${wire.to}`,
      source: wire.from,
      target: wire.to,
      type: "line",
      data: { kind: wire.kind, down, ways: ways[at]! },
      // Only an `after` can be taken away as such: a wire that is a reference goes when the reference goes.
      deletable: wire.kind === "after",
      style: { stroke: colour, strokeWidth: tags.length > 0 ? 2.5 : undefined, strokeDasharray: wire.kind === "after" ? "6 4" : undefined },
      // What it carries is written on it: colour alone says nothing to many.
      label: wire.kind === "branch" ? "if chosen" : tags.length > 0 ? tags.join(", ") : undefined,
      labelStyle: tags.length > 0 ? { fill: colour, fontWeight: 600 } : undefined,
      markerEnd: { type: MarkerType.ArrowClosed, color: colour },
      ariaLabel: `from ${wire.from} to ${wire.to}${tags.length > 0 ? `, carries ${tags.join(", ")}` : ""}`,
    };
  });
  return { nodes, edges, fit: fitting(down, reach) };
}
