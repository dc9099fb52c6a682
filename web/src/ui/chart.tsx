// A picture of numbers over time, drawn on a canvas by uPlot in the colours of the theme, with the same numbers as a table for who cannot see it.

import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export type Line = {
  name: string;
  values: (number | null)[];
  /** The number of a tag colour, or a role of the theme. */
  colour: number | "busy" | "warn" | "good" | "faint";
  /** A bar from nothing, a line, a line over a filled area, or an edge of a band. */
  look?: "bar" | "line" | "area" | "edge";
  /** What the table and the legend say where that is not what is drawn, as for stacked bars. */
  told?: number[];
};

type Props = {
  label: string;
  /** Seconds since 1970. */
  at: number[];
  lines: Line[];
  write: (value: number) => string;
  /** Fills between two lines, by their numbers: the upper first. */
  band?: [number, number];
  height?: number;
  /** Whole days are written without the time. */
  daily?: boolean;
};

/** Steps of an axis of days, in seconds. */
const DAYS = [1, 2, 7, 14, 28, 91].map((days) => days * 86_400);
/** Rows of the table beside a picture. */
const ROWS_MAX = 400;

function colourOf(colour: Line["colour"]): string {
  const name = typeof colour === "number" ? `--tag-${colour % 6}` : `--${colour}`;
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The same colour, let through. */
const thin = (colour: string) => `${colour}${colour.length === 7 ? "38" : ""}`;

export function Chart({ label, at, lines, write, band, height = 220, daily = false }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [theme, setTheme] = useState(0);
  useEffect(() => {
    const repaint = () => setTheme((value) => value + 1);
    window.addEventListener("tutti:theme", repaint);
    return () => window.removeEventListener("tutti:theme", repaint);
  }, []);
  const wanted = JSON.stringify({ at, lines, band, height, daily });
  useEffect(() => {
    const root = box.current!;
    const style = getComputedStyle(document.documentElement);
    const role = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: role("soft"), grid: { stroke: role("line"), width: 1 }, ticks: { stroke: role("line"), width: 1 }, font: `12px ${style.fontFamily || "sans-serif"}` };
    const bars = uPlot.paths.bars!({ size: [0.7, 48] });
    const chart = new uPlot(
      {
        width: Math.max(200, root.clientWidth),
        height,
        tzDate: daily ? (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") : undefined,
        legend: { show: false },
        cursor: { y: false },
        scales: { x: { time: true, range: daily ? (_, min, max) => [min - 43_200, max + 43_200] : undefined }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
        axes: [{ ...axis, space: 80, ...(daily ? { incrs: DAYS, values: (_: uPlot, ticks: number[]) => ticks.map((tick) => new Date(tick * 1000).toISOString().slice(5, 10)) } : {}) }, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => write(tick)) }],
        series: [
          {},
          ...lines.map((line): uPlot.Series => {
            const colour = colourOf(line.colour);
            return {
              label: line.name,
              stroke: colour,
              width: line.look === "bar" ? 0 : line.look === "edge" ? 0 : 1.75,
              fill: line.look === "bar" ? colour : line.look === "area" ? thin(colour) : undefined,
              paths: line.look === "bar" ? bars : undefined,
              points: { show: false },
            };
          }),
        ],
        bands: band ? [{ series: [band[0] + 1, band[1] + 1], fill: thin(colourOf(lines[band[0]]!.colour)) }] : [],
      },
      [at, ...lines.map((line) => line.values)] as uPlot.AlignedData,
      root,
    );
    const watch = new ResizeObserver(([entry]) => chart.setSize({ width: Math.max(200, Math.floor(entry!.contentRect.width)), height }));
    watch.observe(root);
    return () => {
      watch.disconnect();
      chart.destroy();
    };
  }, [wanted, theme]);
  return (
    <figure aria-label={label}>
      <Legend lines={lines} />
      <div ref={box} aria-hidden className="w-full overflow-hidden" />
      <Numbers label={label} at={at} lines={lines} write={write} daily={daily} />
    </figure>
  );
}

function Legend({ lines }: { lines: Line[] }) {
  return (
    <ul aria-hidden className="mb-1 flex flex-wrap gap-x-4 gap-y-1">
      {lines.map((line) => (
        <li key={line.name} className="flex items-center gap-1.5 text-soft">
          <Swatch colour={line.colour} look={line.look} /> {line.name}
        </li>
      ))}
    </ul>
  );
}

function Swatch({ colour, look }: Pick<Line, "colour" | "look">) {
  const name = typeof colour === "number" ? `var(--tag-${colour % 6})` : `var(--${colour})`;
  return (
    <svg width="12" height="12" aria-hidden>
      {look === "line" || look === "area" ? <rect y="5" width="12" height="3" fill={name} /> : <rect width="12" height="12" rx="2" fill={name} opacity={look === "edge" ? 0.3 : 1} />}
    </svg>
  );
}

function Numbers({ label, at, lines, write, daily }: Pick<Props, "label" | "at" | "lines" | "write" | "daily">) {
  const [open, setOpen] = useState(false);
  const when = (seconds: number) => {
    const iso = new Date(seconds * 1000).toISOString();
    return daily ? iso.slice(0, 10) : `${iso.slice(0, 16).replace("T", " ")}Z`;
  };
  const from = Math.max(0, at.length - ROWS_MAX);
  return (
    <details className="mt-1" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="cursor-pointer text-soft">The numbers</summary>
      {open ? (
        <div className="mt-1 max-h-72 overflow-auto rounded-md border border-line" role="region" aria-label={`${label}, the numbers`} tabIndex={0}>
          <table className="w-full">
            <thead className="sticky top-0 bg-raised">
              <tr className="border-b border-line">
                <th className="px-2 py-1 text-left font-medium text-soft">{daily ? "Day, UTC" : "From, UTC"}</th>
                {lines.map((line) => (
                  <th key={line.name} className="px-2 py-1 text-right font-medium text-soft">
                    {line.name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {at.slice(from).map((seconds, index) => (
                <tr key={seconds} className="border-b border-line last:border-0">
                  <td className="px-2 py-1">{when(seconds)}</td>
                  {lines.map((line) => {
                    const value = (line.told ?? line.values)[from + index];
                    return (
                      <td key={line.name} className="px-2 py-1 text-right">
                        {value === null || value === undefined ? "–" : write(value)}
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
    </details>
  );
}
