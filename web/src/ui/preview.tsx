// What is in an artifact, by the kind of file that its name says: pictures, tables, texts, and pages of programs in a frame of their own.

import { useEffect, useState } from "react";

import { blob, post } from "../api/client";
import type { FrameView } from "../api/types";
import { bytes } from "../lib/format";
import { tableOf } from "../lib/table";
import { Working } from "./kit";

export type Shown = "picture" | "page" | "table" | "text";

const KINDS: [Shown, RegExp][] = [
  ["picture", /\.(png|jpe?g|gif|webp|svg)$/i],
  ["page", /\.html?$/i],
  ["table", /\.(csv|tsv|jsonl|ndjson)$/i],
  ["text", /\.(txt|log|md|json|ya?ml|toml|xml|py|sql|sh)$/i],
];

/** Pictures and pages are shown whole, up to this size. */
const WHOLE_BYTES_MAX = 20 << 20;
/** Of tables and texts the beginning is fetched. */
const HEAD_BYTES = 256 << 10;

/** How a file of this name is shown; none when it is not. */
export function shownAs(name: string, size: number): Shown | null {
  const kind = KINDS.find(([, names]) => names.test(name))?.[0] ?? null;
  return (kind === "picture" || kind === "page") && size > WHOLE_BYTES_MAX ? null : kind;
}

type Props = { digest: string; name: string; size: number; as: Shown };

export function Preview(props: Props) {
  if (props.as === "page") return <Frame ask={`/api/v1/artifacts/${props.digest}/frame`} title={props.name} />;
  if (props.as === "picture") return <Picture {...props} />;
  return <Beginning {...props} />;
}

function useFetched<T>(what: string, read: (signal: AbortSignal) => Promise<T>): { found?: T; failed?: string } {
  const [state, setState] = useState<{ found?: T; failed?: string }>({});
  useEffect(() => {
    const stop = new AbortController();
    setState({});
    read(stop.signal).then(
      (found) => setState({ found }),
      (error: unknown) => (stop.signal.aborted ? undefined : setState({ failed: error instanceof Error ? error.message : String(error) })),
    );
    return () => stop.abort();
  }, [what]);
  return state;
}

function Wait({ failed, size }: { failed?: string; size?: number }) {
  if (failed) return <p role="alert" className="text-bad">✕ {failed}</p>;
  return <Working what={`Fetching${size === undefined ? "" : ` ${bytes(size)}`}`} />;
}

/** A page that a program made. It is asked for with the caller's token and shown from an address of its own, whose policy lets it run nothing, ask
 * nobody and know nothing of this page; what it may do is to look as it was made. */
export function Frame({ ask, title }: { ask: string; title: string }) {
  const { found, failed } = useFetched(ask, (signal) => post<FrameView>(ask, {}, signal));
  if (!found) return <Wait failed={failed} />;
  return <iframe src={found.address} title={title} sandbox="" referrerPolicy="no-referrer" className="mt-2 h-[640px] w-full rounded-md border border-line bg-white" />;
}

function Picture({ digest, name, size }: Props) {
  const { found, failed } = useFetched(digest, async (signal) => {
    const content = await blob(`/api/v1/artifacts/${digest}`, signal);
    // Typed by its name: the server says of every artifact that it is bytes. A picture in an <img> runs nothing, an SVG neither.
    const type = /\.svg$/i.test(name) ? "image/svg+xml" : `image/${name.split(".").at(-1)!.toLowerCase().replace("jpg", "jpeg")}`;
    return await new Promise<string>((done, broken) => {
      const reader = new FileReader();
      reader.onload = () => done(String(reader.result));
      reader.onerror = () => broken(new Error("the picture cannot be read"));
      reader.readAsDataURL(new Blob([content], { type }));
    });
  });
  if (!found) return <Wait failed={failed} size={size} />;
  return <img src={found} alt={name} className="mt-2 max-h-[480px] rounded-md border border-line bg-white" />;
}

/** The beginning of a table or a text. */
function Beginning({ digest, name, size, as }: Props) {
  const cut = size > HEAD_BYTES;
  const { found, failed } = useFetched(digest, async (signal) => await (await blob(`/api/v1/artifacts/${digest}`, signal, cut ? HEAD_BYTES : undefined)).text());
  if (found === undefined) return <Wait failed={failed} size={Math.min(size, HEAD_BYTES)} />;
  const table = as === "table" || /\.json$/i.test(name) ? tableOf(name, found, cut) : null;
  if (!table) {
    return (
      <div className="mt-2">
        <pre tabIndex={0} aria-label={name} className="max-h-96 overflow-auto whitespace-pre-wrap break-words rounded-md border border-line bg-sunken p-3 font-mono text-code">
          {found === "" ? "it is empty" : found}
        </pre>
        {cut ? <p className="mt-1 text-soft">The first {bytes(HEAD_BYTES)} of {bytes(size)}.</p> : null}
      </div>
    );
  }
  return (
    <div className="mt-2">
      <div className="max-h-96 overflow-auto rounded-md border border-line" role="region" aria-label={name} tabIndex={0}>
        <table className="w-full">
          <thead className="sticky top-0 bg-raised">
            <tr className="border-b border-line">
              {table.columns.map((column, index) => (
                <th key={index} className={`px-2 py-1 font-medium text-soft ${column.type === "number" ? "text-right" : "text-left"}`}>
                  {column.name || "–"} <span className="text-tiny font-normal text-faint">{column.type}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {table.rows.map((row, index) => (
              <tr key={index} className="border-b border-line last:border-0">
                {row.map((cell, at) => (
                  <td key={at} className={`max-w-80 truncate px-2 py-1 ${table.columns[at]?.type === "number" ? "text-right" : ""}`} title={cell.length > 40 ? cell : undefined}>
                    {cell === "" ? <span className="text-faint">–</span> : cell}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="mt-1 text-soft">
        {table.cut ? `The first ${table.rows.length} rows` : `${table.rows.length} rows`}, {table.columns.length} columns. Types are told from what is shown.
      </p>
    </div>
  );
}
