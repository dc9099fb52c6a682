// Actions as a tree: what a path says of where an action stands within its run.

/** The path of the action that an action belongs to: the map of an item, the call of a sub-workflow, the action a copy is made for. */
export function parentOf(path: string): string | null {
  const copy = path.indexOf("<-");
  if (copy > 0) return path.slice(0, copy);
  if (path.endsWith("]")) return path.slice(0, path.lastIndexOf("["));
  const slash = path.lastIndexOf("/");
  return slash > 0 ? path.slice(0, slash) : null;
}

/** What an action is called below the one that it belongs to. */
export function nameOf(path: string): string {
  const copy = path.indexOf("<-");
  if (copy > 0) {
    const [digest = "", site = ""] = path.slice(copy + 2).split("@");
    return `copy of ${digest.slice(0, 8)} to ${site}`;
  }
  const above = parentOf(path);
  if (above === null) return path;
  return path.endsWith("]") ? path.slice(above.length) : path.slice(above.length + 1);
}

export type Leaf<T> = { item: T; depth: number; children: number };

/** The items of a tree in the order in which they are read, those below a closed one left out. */
export function readTree<T extends { path: string }>(items: T[], isOpen: (path: string, children: number) => boolean): Leaf<T>[] {
  const known = new Set(items.map((item) => item.path));
  const below = new Map<string, T[]>();
  for (const item of items) {
    // One whose parent is not among the items (another page of the list) hangs below the nearest that is.
    let above = parentOf(item.path);
    while (above !== null && !known.has(above)) above = parentOf(above);
    const key = above ?? "";
    const list = below.get(key);
    if (list) list.push(item);
    else below.set(key, [item]);
  }
  const read: Leaf<T>[] = [];
  const stack = [...(below.get("") ?? [])].reverse().map((item) => ({ item, depth: 0 }));
  for (let next = stack.pop(); next; next = stack.pop()) {
    const children = below.get(next.item.path) ?? [];
    read.push({ ...next, children: children.length });
    if (children.length > 0 && isOpen(next.item.path, children.length)) {
      for (const item of [...children].reverse()) stack.push({ item, depth: next.depth + 1 });
    }
  }
  return read;
}

/** The node of the run's own graph that an action belongs to. */
export function rootOf(path: string): string {
  return path.split(/[/[!]|<-/)[0]!;
}
