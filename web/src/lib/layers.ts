// Layered layout of a graph: every node stands after all that it waits for, and near the middle of them. A wire that passes layers has a track
// of its own between the nodes, so that it does not run behind one.

/** Where a node stands: its layer, and its place in it. Neighbours are one apart. */
export type Placed = { index: number; layer: number; row: number };
/** Where a wire passes a layer. */
export type Way = { layer: number; row: number };
/** The nodes by index, and for every edge the ways between its ends. */
export type Layout = { placed: Placed[]; ways: Way[][] };

/** Between the middle of a node and the first track beside it, and from track to track. */
const BESIDE = 0.62;
const TRACK = 0.13;

/** The longest way to each node. Edges that would close a circle are left out. */
function depths(count: number, before: number[][]): number[] {
  const layer = new Array<number>(count).fill(-1);
  const visiting = new Set<number>();
  const depth = (node: number): number => {
    if (layer[node]! >= 0) return layer[node]!;
    if (visiting.has(node)) return 0;
    visiting.add(node);
    const value = before[node]!.reduce((most, from) => Math.max(most, depth(from) + 1), 0);
    visiting.delete(node);
    layer[node] = value;
    return value;
  };
  for (let node = 0; node < count; node += 1) depth(node);
  return layer;
}

/** Longest-path layers, rows by the middle of what comes before, and tracks beside them. */
export function layout(count: number, edges: [from: number, to: number][]): Layout {
  const good = ([from, to]: [number, number]) => from !== to && from < count && to < count;
  const before: number[][] = Array.from({ length: count }, () => []);
  for (const edge of edges) if (good(edge)) before[edge[1]]!.push(edge[0]);
  const layer = depths(count, before);
  const rows = rowsOf(layer, before);
  const placed = layer.map((at, index): Placed => ({ index, layer: at, row: rows[index]! }));
  const passes = (edge: [number, number]) => good(edge) && layer[edge[1]]! > layer[edge[0]]! + 1;
  const tracks = tracksOf(placed, edges.filter(passes));
  const ways = edges.map((edge): Way[] => {
    if (!passes(edge)) return [];
    const [from, to] = edge;
    return Array.from({ length: layer[to]! - layer[from]! - 1 }, (_, at) => ({ layer: layer[from]! + 1 + at, row: tracks(from, layer[from]! + 1 + at) }));
  });
  return { placed, ways };
}

/** Gives every node a row in its layer: near what comes right before it, and none over another. */
function rowsOf(layer: number[], before: number[][]): number[] {
  const rows = new Array<number>(layer.length).fill(0);
  const columns: number[][] = [];
  layer.forEach((at, node) => (columns[at] ??= []).push(node));
  for (const column of columns) {
    // What stands further back counts only where nothing stands right before: it would pull a chain aside.
    const wish = (node: number) => {
      const near = before[node]!.filter((from) => layer[from] === layer[node]! - 1);
      const from = near.length > 0 ? near : before[node]!;
      return from.length === 0 ? 0 : from.reduce((sum, other) => sum + rows[other]!, 0) / from.length;
    };
    let free = 0;
    for (const [node, at] of (column ?? []).map((node): [number, number] => [node, wish(node)]).sort((a, b) => a[1] - b[1] || a[0] - b[0])) {
      rows[node] = Math.max(free, at);
      free = rows[node]! + 1;
    }
  }
  return rows;
}

/** Where the wires of a node pass a layer: beside all nodes of it, the longer ones outside of the shorter, as near as that layer lets them. The wires of
 * a node share a track. */
function tracksOf(placed: Placed[], edges: [number, number][]): (from: number, layer: number) => number {
  const spans = new Map<number, { from: number; first: number; last: number }>();
  for (const [from, to] of edges) {
    const first = placed[from]!.layer + 1;
    const last = Math.max(spans.get(from)?.last ?? 0, placed[to]!.layer - 1);
    spans.set(from, { from, first, last });
  }
  const edge: number[] = [];
  for (const { layer, row } of placed) edge[layer] = Math.max(edge[layer] ?? 0, row);
  const laid: { first: number; last: number; lane: number }[] = [];
  const lanes = new Map<number, number>();
  for (const { from, first, last } of [...spans.values()].sort((a, b) => a.last - a.first - (b.last - b.first) || b.first - a.first)) {
    const lane = laid.filter((other) => other.first <= last && other.last >= first).reduce((most, other) => Math.max(most, other.lane + 1), 0);
    laid.push({ first, last, lane });
    lanes.set(from, lane);
  }
  return (from, layer) => (edge[layer] ?? 0) + BESIDE + TRACK * (lanes.get(from) ?? 0);
}

type Point = [x: number, y: number];

/** The line of a wire from one point to another, straight through each way: in at one end of it, out at the other. */
export function wirePath(start: Point, ways: [into: Point, out: Point][], end: Point, down: boolean): string {
  const bow = ([x1, y1]: Point, [x2, y2]: Point) => {
    const bend = Math.max(16, (down ? y2 - y1 : x2 - x1) / 2);
    return down ? `C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}` : `C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  };
  let at = start;
  let path = `M${at[0]} ${at[1]}`;
  for (const [into, out] of ways) {
    path += `${bow(at, into)}L${out[0]} ${out[1]}`;
    at = out;
  }
  return path + bow(at, end);
}
