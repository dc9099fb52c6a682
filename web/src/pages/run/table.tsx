// The actions of a run as a table: a tree while the page has them all, pages from the server otherwise; only rows in sight are in the page.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";

import { useActionPages } from "../../api/queries";
import type { ActionView, RunView } from "../../api/types";
import { nextSort, sorted, useSettled } from "../../lib/address";
import { money, seconds } from "../../lib/format";
import { look } from "../../lib/phases";
import { nameOf, readTree, type Leaf } from "../../lib/tree";
import { Empty, Failed, Loading, Phase, SiteName } from "../../ui/kit";
import { COLUMNS } from "./search";

const ROW = 36;
const HEIGHT_MAX = 600;
const OPEN_MAX = 12;
const PHASES = ["queued", "waiting_for_resources", "initializing", "running", "succeeded", "failed", "timed_out", "aborted"];
/** As many columns as there is room for: what is left out stands in the action itself. */
const GRID = "grid grid-cols-[minmax(120px,3fr)_120px_72px_84px] items-center gap-x-3 px-4 @3xl:grid-cols-[minmax(130px,2.4fr)_128px_minmax(190px,1.4fr)_76px_86px] @6xl:grid-cols-[minmax(220px,3fr)_150px_90px_minmax(180px,1.4fr)_80px_90px_100px]";
const ROOM: Partial<Record<(typeof COLUMNS)[number], string>> = { kind: "hidden @6xl:block", site: "hidden @3xl:block", attempts: "hidden @6xl:block" };

/** `at` is the moment that the run is of; none when it is as it is now. */
type Props = { run: RunView; at?: number; open: (path: string) => void; chosen?: string };

export function ActionTable({ run, at, open, chosen }: Props) {
  const search = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const phase = search.phase ?? "";
  const setPhase = (next: string) => void navigate({ search: (old) => ({ ...old, phase: next || undefined }) });
  const [words, setWords] = useSettled(search.find ?? "", (next) => void navigate({ search: (old) => ({ ...old, find: next || undefined }), replace: true }));
  const [toggles, setToggles] = useState<ReadonlyMap<string, boolean>>(new Map());
  const loaded = run.actions ?? [];
  const whole = run.actions_total <= loaded.length;
  // The pages of a large run come in the order in which actions were opened, and are shown so.
  const sort = whole ? search.sort : undefined;
  // Where the page does not have them all, the server finds them.
  const pages = useActionPages(run.name, { phase, find: search.find }, at, !whole);
  const actions = whole ? loaded.filter((action) => !phase || action.phase === phase) : (pages.data?.pages.flatMap((page) => page.items) ?? []);
  const leaves = useMemo(() => {
    const wanted = words && whole ? actions.filter((action) => action.path.toLowerCase().includes(words.toLowerCase())) : actions;
    if (!whole || words || phase || sort) return sorted(wanted, sort, columnOf).map((item): Leaf<ActionView> => ({ item, depth: 0, children: 0 }));
    return readTree(wanted, (path, children) => toggles.get(path) ?? children <= OPEN_MAX);
  }, [actions, words, phase, whole, toggles, sort]);
  if (pages.error) return <Failed error={pages.error} retry={() => void pages.refetch()} />;
  return (
    <div>
      <div className="flex flex-wrap items-center gap-3 border-b border-line px-4 py-2">
        <input aria-label="Find an action" placeholder="Find an action" value={words} onChange={(event) => setWords(event.target.value)} className="rounded-md border border-edge bg-surface px-3 py-1" />
        <select aria-label="Phase" value={phase} onChange={(event) => setPhase(event.target.value)} className="rounded-md border border-edge bg-surface px-2 py-1">
          <option value="">every phase</option>
          {PHASES.map((known) => (
            <option key={known} value={known}>
              {look(known).words}
            </option>
          ))}
        </select>
        <span className="text-soft" role="status">
          {whole && !words && !phase ? `${run.actions_total.toLocaleString()} actions` : `${leaves.length.toLocaleString()} of ${run.actions_total.toLocaleString()}`}
          {pages.hasNextPage ? ", more as you scroll" : ""}
        </span>
      </div>
      {!whole && pages.isPending ? (
        <Loading what="the actions" />
      ) : (
      <Rows leaves={leaves} flat={words !== "" || phase !== "" || !whole || sort !== undefined} sort={sort} onSort={whole ? (column) => void navigate({ search: (old) => ({ ...old, sort: nextSort(old.sort, column) }) }) : undefined} toggles={toggles} onToggle={(path, to) => setToggles((old) => new Map(old).set(path, to))} open={open} chosen={chosen} onEnd={() => (pages.hasNextPage && !pages.isFetchingNextPage ? void pages.fetchNextPage() : undefined)} />
      )}
    </div>
  );
}

function columnOf(action: ActionView, column: string): string | number {
  switch (column) {
    case "attempts":
      return action.attempts;
    case "took":
      return action.attempts ? action.seconds : 0;
    case "cost":
      return action.cost;
    case "phase":
      return look(action.phase).words;
    case "kind":
      return action.kind;
    case "site":
      return action.site ?? "";
    default:
      return action.path;
  }
}

type RowsProps = {
  leaves: Leaf<ActionView>[];
  flat: boolean;
  sort?: string;
  /** Sorts by a column; none where the page does not have all actions. */
  onSort?: (column: string) => void;
  toggles: ReadonlyMap<string, boolean>;
  onToggle: (path: string, to: boolean) => void;
  open: (path: string) => void;
  chosen?: string;
  onEnd: () => void;
};

function Rows({ leaves, flat, sort, onSort, toggles, onToggle, open, chosen, onEnd }: RowsProps) {
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({ count: leaves.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 12 });
  const items = rows.getVirtualItems();
  const last = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (last >= leaves.length - 1) onEnd();
  });
  if (leaves.length === 0) return <Empty title="No action is like that" />;
  return (
    <div className="@container">
      <div role="table" aria-label="Actions" aria-rowcount={leaves.length + 1}>
        <div role="row" className={`${GRID} border-b border-line py-2 font-medium text-soft`}>
          {COLUMNS.map((column, index) => (
            <span key={column} role="columnheader" aria-sort={sort === column ? "ascending" : sort === `-${column}` ? "descending" : undefined} className={`${index > 3 ? "text-right" : ""} ${ROOM[column] ?? ""}`}>
              {onSort ? (
                <button type="button" onClick={() => onSort(column)} className="capitalize hover:text-ink" title={`sort by ${column}`}>
                  {column}
                  <span aria-hidden> {sort === column ? "▴" : sort === `-${column}` ? "▾" : ""}</span>
                </button>
              ) : (
                <span className="capitalize">{column}</span>
              )}
            </span>
          ))}
        </div>
        <div ref={box} className="overflow-y-auto" style={{ maxHeight: HEIGHT_MAX }} role="rowgroup" tabIndex={0} aria-label="Rows">
          <div role="presentation" style={{ height: rows.getTotalSize(), position: "relative" }}>
            {items.map(({ index, start }) => {
              const { item: action, depth, children } = leaves[index]!;
              const isOpen = toggles.get(action.path) ?? children <= OPEN_MAX;
              return (
                <div
                  key={action.path}
                  role="row"
                  aria-rowindex={index + 2}
                  className={`${GRID} absolute inset-x-0 border-b border-line hover:bg-surface ${action.path === chosen ? "bg-sunken" : ""}`}
                  style={{ height: ROW, transform: `translateY(${start}px)` }}
                >
                  <span role="cell" className="flex min-w-0 items-center" style={{ paddingLeft: depth * 18 }}>
                    {children > 0 ? (
                      <button type="button" aria-expanded={isOpen} aria-label={`what is below ${action.path}`} onClick={() => onToggle(action.path, !isOpen)} className="mr-1 size-7 shrink-0 text-faint">
                        {isOpen ? "▾" : "▸"}
                      </button>
                    ) : flat ? null : (
                      <span className="mr-1 w-7 shrink-0" />
                    )}
                    <button type="button" data-row title={action.path} className="min-w-7 truncate text-left font-medium text-accent hover:underline" onClick={() => open(action.path)}>
                      {flat ? action.path : nameOf(action.path)}
                    </button>
                    {children > 0 && !isOpen ? <span className="ml-2 text-faint">{children}</span> : null}
                  </span>
                  <span role="cell" className="flex min-w-0 items-center">
                    <Phase phase={action.phase} kind={action.kind} waits={action.waits_for ?? action.wait?.words} />
                    {action.reused ? <span className="ml-1.5 text-faint">reused</span> : null}
                  </span>
                  <span role="cell" className={`text-soft ${ROOM.kind}`}>
                    {action.kind}
                  </span>
                  <span role="cell" className={`truncate ${ROOM.site}`}>
                    <SiteName name={action.site} simulates={action.simulates} />
                  </span>
                  <span role="cell" className={`text-right text-soft ${ROOM.attempts}`}>
                    {action.attempts || ""}
                  </span>
                  <span role="cell" className="text-right text-soft">
                    {action.attempts ? seconds(action.seconds) : ""}
                  </span>
                  <span role="cell" className="text-right text-soft">
                    {action.cost ? money(action.cost) : ""}
                  </span>
                </div>
              );
            })}
          </div>
        </div>
      </div>
    </div>
  );
}
