// Drawing the rows of a timeline. A frame costs what is in sight, whatever the run holds.

import { seconds, tickStep } from "../../lib/format";
import { toneColour, type Tone } from "../../lib/phases";
import type { Row } from "./rows";

export const ROW = 24;
export const HEAD = 26;
/** The width of the names. */
export const NAMES = 250;
/** Room on the right for the duration of the last bar. */
const TAIL = 90;
const INDENT = 14;
/** How much lower than the row a part is, above and below: failures stand out, what waits or counts no more is thin. */
const INSET: Record<Tone, number> = { bad: 3, good: 6, busy: 6, warn: 9, idle: 10 };

export type View = {
  width: number;
  height: number;
  /** How far the rows are scrolled. */
  top: number;
  chosen?: string;
  /** The row on which the focus of the keyboard is. */
  focused?: string;
  /** The span of time shown, and the moment that counts as zero, in milliseconds. */
  window: [number, number];
  zero: number;
  /** The moment that is looked at. */
  at?: number;
};

type Pen = { pen: CanvasRenderingContext2D; x: (at: number) => number; colour: (name: string) => string; tone: (tone: Tone) => string };

export function paint(canvas: HTMLCanvasElement, rows: Row[], view: View) {
  const scale = window.devicePixelRatio || 1;
  const { width, height } = view;
  // Setting a size empties the canvas, and costs more than drawing on it.
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  pen.textBaseline = "middle";
  const style = getComputedStyle(document.documentElement);
  const cache = new Map<Tone, string>();
  const tone = (name: Tone) => {
    if (!cache.has(name)) cache.set(name, toneColour(name));
    return cache.get(name)!;
  };
  const [first, last] = view.window;
  const right = Math.max(1, width - NAMES - TAIL);
  const tools: Pen = { pen, x: (at) => NAMES + ((at - first) / Math.max(last - first, 1)) * right, colour: (name) => style.getPropertyValue(`--${name}`).trim(), tone };
  paintAxis(tools, view, right);
  const from = Math.floor(view.top / ROW);
  const end = Math.min(rows.length, from + Math.ceil(height / ROW) + 1);
  pen.save();
  pen.beginPath();
  pen.rect(0, HEAD, width, height - HEAD);
  pen.clip();
  for (let index = from; index < end; index += 1) paintRow(tools, rows[index]!, HEAD + index * ROW - view.top, view);
  pen.restore();
  if (view.at !== undefined) {
    pen.fillStyle = tools.colour("accent");
    pen.fillRect(tools.x(view.at), HEAD - 6, 1.5, height - HEAD + 6);
  }
}

function paintAxis({ pen, x, colour }: Pen, { window: [first, last], zero, height }: View, right: number) {
  const step = tickStep(Math.max(last - first, 1), Math.max(2, Math.floor(right / 110)));
  for (let at = Math.ceil((first - zero) / step) * step; zero + at <= last; at += step) {
    pen.fillStyle = colour("line");
    pen.fillRect(x(zero + at), HEAD, 1, height - HEAD);
    pen.fillStyle = colour("faint");
    pen.fillText(seconds(at / 1000), x(zero + at) + 3, HEAD / 2);
  }
}

function paintRow({ pen, x, colour, tone }: Pen, row: Row, y: number, view: View) {
  const middle = y + ROW / 2;
  if (row.key === view.chosen) {
    pen.fillStyle = colour("sunken");
    pen.fillRect(0, y, view.width, ROW);
  }
  // The bar first, the names over what would reach under them.
  const [from, to] = [Math.max(NAMES, x(row.from)), Math.min(view.width, x(row.to))];
  if (to >= NAMES && from <= view.width) {
    pen.globalAlpha = 0.85;
    const size = Math.max(2, to - from);
    let at = from;
    for (const part of row.parts ?? [{ tone: row.tone, share: 1 }]) {
      pen.fillStyle = tone(part.tone);
      pen.fillRect(at, y + INSET[part.tone], Math.max(1, size * part.share), ROW - 2 * INSET[part.tone]);
      at += size * part.share;
    }
    pen.globalAlpha = 1;
    pen.fillStyle = colour("soft");
    pen.fillText(seconds((row.to - row.from) / 1000), Math.max(to, from + 2) + 6, middle);
  }
  const indent = 12 + row.depth * INDENT;
  pen.fillStyle = colour("faint");
  if (row.open !== undefined) pen.fillText(row.open ? "▾" : "▸", indent - 8, middle);
  pen.fillStyle = tone(row.tone);
  const glyph = indent + 6;
  pen.fillText(row.glyph, glyph, middle);
  const label = glyph + Math.max(16, pen.measureText(row.glyph).width + 8);
  pen.fillStyle = colour("ink");
  pen.fillText(cut(pen, row.label, NAMES - label - 10), label, middle);
  if (row.key === view.focused) {
    pen.strokeStyle = colour("accent");
    pen.lineWidth = 2;
    pen.strokeRect(1, y + 1, view.width - 2, ROW - 2);
  }
}

/** A text cut to a width. */
function cut(pen: CanvasRenderingContext2D, text: string, width: number): string {
  if (pen.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (pen.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return `${text.slice(0, low)}…`;
}
