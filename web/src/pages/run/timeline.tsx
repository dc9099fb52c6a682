// The timeline of a run: one bar an action on a canvas, only the rows in sight are drawn; the same rows as a tree for keyboards and readers.

import { useEffect, useRef, useState } from "react";

import type { ActionView } from "../../api/types";
import { seconds, tickStep } from "../../lib/format";
import { isOver, lookOf, toneColour } from "../../lib/phases";

const ROW = 24;
const HEAD = 26;
const NAMES = 230;
const HEIGHT_MAX = 560;

type Props = { actions: ActionView[]; now: number; onOpen: (path: string) => void; chosen?: string };

type Span = { action: ActionView; from: number; to: number };

function spans(actions: ActionView[], now: number): Span[] {
  return actions
    .filter((action) => action.opened_at)
    .map((action) => {
      const from = Date.parse(action.started_at ?? action.opened_at!);
      const to = action.finished_at ? Date.parse(action.finished_at) : isOver(action.phase) ? from : now;
      return { action, from, to: Math.max(from, to) };
    });
}

export function Timeline({ actions, now, onOpen, chosen }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(800);
  const [top, setTop] = useState(0);
  const [theme, setTheme] = useState(0);
  const rows = spans(actions, now);
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
  const height = Math.min(HEIGHT_MAX, HEAD + rows.length * ROW + 4);
  useEffect(() => {
    if (canvas.current) paint(canvas.current, rows, { width, height, top, chosen });
  }, [rows, width, height, top, chosen, theme]);
  const rowAt = (clientY: number) => {
    const y = clientY - box.current!.getBoundingClientRect().top - HEAD;
    return y < 0 ? undefined : rows[Math.floor((y + top) / ROW)];
  };
  if (rows.length === 0) return <p className="p-4 text-soft">Nothing has been opened yet.</p>;
  return (
    <div
      ref={box}
      className="relative overflow-y-auto"
      style={{ height }}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      onClick={(event) => {
        const row = rowAt(event.clientY);
        if (row) onOpen(row.action.path);
      }}
    >
      <canvas ref={canvas} className="sticky left-0 top-0 block" aria-hidden />
      <div style={{ height: Math.max(0, rows.length * ROW + HEAD - height) }} />
      <ul className="sr-only" aria-label="Actions of the run">
        {rows.slice(0, 500).map(({ action, from, to }) => (
          <li key={action.path}>
            <button type="button" onClick={() => onOpen(action.path)}>
              {action.path}, {lookOf(action).words}
              {action.site ? ` at ${action.site}` : ""}, {seconds((to - from) / 1000)}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

type View = { width: number; height: number; top: number; chosen?: string };

function paint(canvas: HTMLCanvasElement, rows: Span[], { width, height, top, chosen }: View) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.scale(scale, scale);
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const first = rows.reduce((least, row) => Math.min(least, row.from), Infinity);
  const last = rows.reduce((most, row) => Math.max(most, row.to), -Infinity);
  const span = Math.max(last - first, 1);
  const right = width - NAMES - 90;
  const x = (at: number) => NAMES + ((at - first) / span) * right;
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  pen.textBaseline = "middle";
  const step = tickStep(span, Math.max(2, Math.floor(right / 110)));
  for (let at = 0; at <= span; at += step) {
    pen.fillStyle = colour("line");
    pen.fillRect(x(first + at), HEAD, 1, height - HEAD);
    pen.fillStyle = colour("faint");
    pen.fillText(seconds(at / 1000), x(first + at) + 3, HEAD / 2);
  }
  const from = Math.floor(top / ROW);
  for (let index = from; index < Math.min(rows.length, from + Math.ceil(height / ROW) + 1); index += 1) {
    const { action, from: began, to } = rows[index]!;
    const y = HEAD + index * ROW - top;
    if (y < HEAD - ROW) continue;
    if (action.path === chosen) {
      pen.fillStyle = colour("sunken");
      pen.fillRect(0, y, width, ROW);
    }
    const { tone, glyph } = lookOf(action);
    pen.fillStyle = toneColour(tone);
    pen.fillText(glyph, 12, y + ROW / 2);
    pen.fillStyle = colour("ink");
    pen.fillText(cut(pen, action.path, NAMES - 44), 32, y + ROW / 2);
    pen.fillStyle = toneColour(tone);
    pen.globalAlpha = 0.85;
    pen.fillRect(x(began), y + 6, Math.max(2, x(to) - x(began)), ROW - 12);
    pen.globalAlpha = 1;
    pen.fillStyle = colour("soft");
    pen.fillText(seconds((to - began) / 1000), Math.max(x(to), x(began) + 2) + 6, y + ROW / 2);
  }
}

/** A text cut to a width. */
function cut(pen: CanvasRenderingContext2D, text: string, width: number): string {
  if (pen.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > width) end -= 1;
  return `${text.slice(0, end)}…`;
}
