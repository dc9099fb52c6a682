// The timeline of a run: one bar a row on a canvas, only rows in sight are drawn; the same rows as a tree for keyboards and readers.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import { useTiles } from "../../api/queries";
import type { ActionView } from "../../api/types";
import { partOf, useSettled } from "../../lib/address";
import { seconds } from "../../lib/format";
import { Button, Failed, Loading } from "../../ui/kit";
import { HEAD, NAMES, paint, ROW } from "./painting";
import { rowsOf, rowsOfTiles, type Row, type Toggles } from "./rows";

const HEIGHT_MAX = 560;
/** Rows that are listed for readers of the screen; the table has all. */
const LISTED_MAX = 300;
const ZOOM_MAX = 400;
const WHOLE: [number, number] = [0, 1];

type Props = {
  run: string;
  actions: ActionView[];
  total: number;
  /** From when to when the run goes; what is open reaches until `now`. */
  span: [number, number];
  now: number;
  /** The moment under the finger, and that of which `actions` are. */
  at?: number;
  settled?: number;
  onOpen: (path: string) => void;
  chosen?: string;
};

/** The timeline of a run of any size: actions one by one while the page has them all, tiles of neighbours otherwise. */
export function Timeline(props: Props) {
  return props.total > props.actions.length ? <TiledTimeline {...props} /> : <TreeTimeline {...props} />;
}

function TreeTimeline({ actions, span, now, onOpen, chosen, at }: Props) {
  const [toggles, setToggles] = useState<Toggles>(new Map());
  const rows = useMemo(() => rowsOf(actions, toggles, now), [actions, toggles, now]);
  const onToggle = (row: Row) => setToggles((old) => new Map(old).set(row.key, !row.open));
  if (rows.length === 0) return <p className="p-4 text-soft">Nothing has been opened yet.</p>;
  return <Picture rows={rows} span={span} at={at} chosen={chosen} onPick={(row) => onOpen(row.key)} onToggle={onToggle} />;
}

function TiledTimeline({ run, total, span, now, onOpen, chosen, at, settled }: Props) {
  const { look: ranges = [] } = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const setRanges = (next: [number, number][]) => void navigate({ search: (old) => ({ ...old, look: next.length > 0 ? next : undefined }) });
  const range = ranges.at(-1);
  const tiles = useTiles(run, range, settled);
  const rows = useMemo(() => rowsOfTiles(tiles.data?.tiles ?? [], now), [tiles.data, now]);
  if (tiles.error && !tiles.data) return <Failed error={tiles.error} />;
  if (!tiles.data) return <Loading what="the timeline" />;
  return (
    <>
      <p className="flex flex-wrap items-center gap-2 px-4 pt-3 text-soft">
        <span>
          {range ? `Actions ${range[0].toLocaleString()} to ${(range[1] - 1).toLocaleString()} of ${total.toLocaleString()}.` : `${total.toLocaleString()} actions; each row counts neighbours. Choose a row to look closer.`}
        </span>
        {range ? <Button onClick={() => setRanges(ranges.slice(0, -1))}>Look from further away</Button> : null}
      </p>
      <Picture rows={rows} span={span} at={at} chosen={chosen} onPick={(row) => (row.range ? setRanges([...ranges, row.range!]) : onOpen(row.key))} />
    </>
  );
}

type PictureProps = {
  rows: Row[];
  span: [number, number];
  at?: number;
  chosen?: string;
  onPick: (row: Row) => void;
  onToggle?: (row: Row) => void;
};

function Picture({ rows, span, at, chosen, onPick, onToggle }: PictureProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(800);
  const [top, setTop] = useState(0);
  const [theme, setTheme] = useState(0);
  const [focused, setFocused] = useState<string>();
  const [window_, zoom] = useZoom(span);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(entry!.contentRect.width));
    watch.observe(box.current!);
    const repaint = () => setTheme((value) => value + 1);
    window.addEventListener("tutti:theme", repaint);
    return () => {
      watch.disconnect();
      window.removeEventListener("tutti:theme", repaint);
    };
  }, []);
  const height = Math.min(HEIGHT_MAX, HEAD + Math.max(1, rows.length) * ROW + 4);
  useEffect(() => {
    if (canvas.current) paint(canvas.current, rows, { width, height, top, chosen, focused, window: window_, zero: span[0], at });
  }, [rows, width, height, top, chosen, focused, theme, window_, span, at]);
  const rowAt = (clientY: number) => {
    const y = clientY - box.current!.getBoundingClientRect().top - HEAD;
    return y < 0 ? undefined : rows[Math.floor((y + top) / ROW)];
  };
  useWheelZoom(box, width, zoom);
  // The list is not seen: where the focus is in it, the picture shows, and follows.
  const onFocus = (index: number | undefined) => {
    setFocused(index === undefined ? undefined : rows[index]?.key);
    const seen = box.current!;
    if (index === undefined) return;
    const y = index * ROW;
    if (y < seen.scrollTop || y > seen.scrollTop + height - HEAD - ROW) seen.scrollTop = Math.max(0, y - height / 2);
  };
  return (
    <>
      <div
        ref={box}
        className="relative cursor-pointer overflow-y-auto"
        style={{ height }}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
        onClick={(event) => {
          const row = rowAt(event.clientY);
          if (!row) return;
          const x = event.clientX - box.current!.getBoundingClientRect().left;
          if (row.open !== undefined && onToggle && x < 26 + row.depth * 14) onToggle(row);
          else onPick(row);
        }}
      >
        <canvas ref={canvas} className="sticky left-0 top-0 block" aria-hidden />
        <div style={{ height: Math.max(0, rows.length * ROW + HEAD - height) }} />
        <Listed rows={rows} onPick={onPick} onToggle={onToggle} onFocus={onFocus} />
      </div>
      <Zooming zoom={zoom} />
    </>
  );
}

/** The same rows for keyboards and readers of the screen. */
function Listed({ rows, onPick, onToggle, onFocus }: Pick<PictureProps, "rows" | "onPick" | "onToggle"> & { onFocus: (index: number | undefined) => void }) {
  return (
    <ul className="sr-only !sticky top-0" aria-label="Actions of the run" onBlur={() => onFocus(undefined)}>
      {rows.slice(0, LISTED_MAX).map((row, index) => (
        <li key={row.key} onFocus={() => onFocus(index)}>
          <button type="button" onClick={() => onPick(row)}>
            {row.label}, {row.words}, {seconds((row.to - row.from) / 1000)}
          </button>
          {row.open !== undefined && onToggle ? (
            <button type="button" aria-expanded={row.open} onClick={() => onToggle(row)}>
              {row.open ? "hide" : "show"} what is below {row.label}
            </button>
          ) : null}
        </li>
      ))}
    </ul>
  );
}

type Zoom = { by: (factor: number, middle?: number) => void; pan: (share: number) => void; fit: () => void; isWhole: boolean };

/** The part of the time axis that is shown. */
function useZoom([first, last]: [number, number]): [[number, number], Zoom] {
  const { zoom } = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  const [chosen, choose] = useSettled(zoom, (next) => void navigate({ search: (old) => ({ ...old, zoom: partOf(next) }), replace: true }));
  const part = chosen ?? WHOLE;
  const latest = useRef(part);
  latest.current = part;
  const setPart = useCallback((next: (old: [number, number]) => [number, number]) => {
    latest.current = next(latest.current);
    choose(partOf(latest.current.map((share) => Math.round(share * 1e4) / 1e4)));
  }, []);
  const clamp = (from: number, size: number): [number, number] => {
    const wide = Math.min(1, Math.max(1 / ZOOM_MAX, size));
    const start = Math.min(1 - wide, Math.max(0, from));
    return [start, start + wide];
  };
  const by = useCallback(
    (factor: number, middle = 0.5) =>
      setPart(([from, to]) => {
        const focus = from + (to - from) * middle;
        const size = (to - from) / factor;
        return clamp(focus - size * middle, size);
      }),
    [],
  );
  const pan = useCallback((share: number) => setPart(([from, to]) => clamp(from + share * (to - from), to - from)), []);
  const fit = useCallback(() => setPart(() => WHOLE), []);
  const width = last - first;
  const shown = useMemo((): [number, number] => [first + part[0] * width, first + part[1] * width], [first, width, part]);
  return [shown, { by, pan, fit, isWhole: part[0] === 0 && part[1] === 1 }];
}

/** Ctrl and the wheel zoom where the pointer is; shift and the wheel move along. */
function useWheelZoom(box: React.RefObject<HTMLDivElement | null>, width: number, zoom: Zoom) {
  const latest = useRef(zoom);
  latest.current = zoom;
  useEffect(() => {
    const element = box.current!;
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey && !event.shiftKey) return;
      event.preventDefault();
      const middle = (event.clientX - element.getBoundingClientRect().left - NAMES) / Math.max(1, width - NAMES - 90);
      if (event.shiftKey) latest.current.pan((event.deltaY || event.deltaX) / 800);
      else latest.current.by(event.deltaY < 0 ? 1.25 : 0.8, Math.min(1, Math.max(0, middle)));
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, [box, width]);
}

function Zooming({ zoom }: { zoom: Zoom }) {
  return (
    <div className="flex justify-end gap-1 px-4 py-2">
      <Button aria-label="Zoom out" onClick={() => zoom.by(0.5)} disabled={zoom.isWhole}>
        −
      </Button>
      <Button aria-label="Zoom in" title="Ctrl and the wheel zoom, Shift and the wheel move" onClick={() => zoom.by(2)}>
        +
      </Button>
      <Button onClick={zoom.fit} disabled={zoom.isWhole}>
        All
      </Button>
    </div>
  );
}
