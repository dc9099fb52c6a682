// Layered layout of a graph: every node stands right of all it waits for, and near the middle of them.

export type Placed = { index: number; layer: number; row: number };

/** Longest-path layers, then rows by the middle of what each node waits for. Edges that would close a circle are left out. */
export function layers(count: number, edges: [from: number, to: number][]): Placed[] {
  const before: number[][] = Array.from({ length: count }, () => []);
  for (const [from, to] of edges) if (from !== to && from < count && to < count) before[to]!.push(from);
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
  const columns: number[][] = [];
  layer.forEach((at, node) => (columns[at] ??= []).push(node));
  const row = new Array<number>(count).fill(0);
  for (const column of columns) {
    const wish = (node: number) => {
      const from = before[node]!;
      return from.length === 0 ? row[node]! : from.reduce((sum, other) => sum + row[other]!, 0) / from.length;
    };
    const ordered = [...(column ?? [])].sort((a, b) => wish(a) - wish(b) || a - b);
    let next = 0;
    for (const node of ordered) {
      row[node] = Math.max(next, Math.round(wish(node)));
      next = row[node]! + 1;
    }
  }
  return layer.map((at, index) => ({ index, layer: at, row: row[index]! }));
}
