// Values of a run: JSON as a tree, tables where rows are alike, artifacts as links with a preview. Nothing of a value is ever markup here.

import { Link } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { blob } from "../api/client";
import { bytes } from "../lib/format";

export type Artifact = { digest: string; size: number; kind?: string; name?: string };

/** The artifact that a value is, when it is one. */
export function artifactOf(value: unknown): Artifact | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const inner = (value as Record<string, unknown>)["$artifact"];
  if (typeof inner !== "object" || inner === null || Object.keys(value).length !== 1) return null;
  const { digest, size, kind, name } = inner as Artifact;
  return typeof digest === "string" ? { digest, size: Number(size), kind, name } : null;
}

/** The columns of a list whose items are flat objects with the same keys, when it is one. */
export function columnsOf(items: unknown[]): string[] | null {
  if (items.length < 2) return null;
  const first = items[0];
  if (typeof first !== "object" || first === null || Array.isArray(first) || artifactOf(first)) return null;
  const keys = Object.keys(first);
  const same = items.every(
    (item) =>
      typeof item === "object" &&
      item !== null &&
      keys.length === Object.keys(item).length &&
      keys.every((key) => key in item && (typeof (item as Record<string, unknown>)[key] !== "object" || artifactOf((item as Record<string, unknown>)[key]))),
  );
  return same && keys.length > 0 && keys.length <= 12 ? keys : null;
}

const ROWS_SHOWN = 100;

export function Value({ value, open = true }: { value: unknown; open?: boolean }) {
  const artifact = artifactOf(value);
  if (artifact) return <ArtifactPreview artifact={artifact} />;
  if (value === null || value === undefined) return <span className="text-faint">null</span>;
  if (Array.isArray(value)) return <List items={value} open={open} />;
  if (typeof value === "object") return <Fields fields={value as Record<string, unknown>} />;
  if (typeof value === "string") return <span className="whitespace-pre-wrap break-words">{value === "" ? <span className="text-faint">empty text</span> : value}</span>;
  return <span className="font-mono text-[13px]">{typeof value === "number" ? value.toLocaleString(undefined, { maximumFractionDigits: 6 }) : String(value)}</span>;
}

function Fields({ fields }: { fields: Record<string, unknown> }) {
  const entries = Object.entries(fields);
  if (entries.length === 0) return <span className="text-faint">no fields</span>;
  return (
    <dl className="grid grid-cols-[minmax(6rem,auto)_1fr] gap-x-4 gap-y-1.5">
      {entries.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-soft">{name}</dt>
          <dd className="min-w-0">
            <Value value={value} open={false} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function List({ items, open }: { items: unknown[]; open: boolean }) {
  const columns = columnsOf(items);
  const shown = items.slice(0, ROWS_SHOWN);
  if (items.length === 0) return <span className="text-faint">an empty list</span>;
  const body = columns ? (
    <table className="w-full">
      <thead>
        <tr className="border-b border-line">
          {columns.map((column) => (
            <th key={column} className="px-2 py-1 text-left font-medium text-soft">
              {column}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {shown.map((item, index) => (
          <tr key={index} className="border-b border-line last:border-0">
            {columns.map((column) => (
              <td key={column} className="px-2 py-1">
                <Value value={(item as Record<string, unknown>)[column]} open={false} />
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  ) : (
    <ol className="space-y-1">
      {shown.map((item, index) => (
        <li key={index} className="flex gap-3">
          <span className="text-faint">{index}</span>
          <div className="min-w-0 flex-1">
            <Value value={item} open={false} />
          </div>
        </li>
      ))}
    </ol>
  );
  return (
    <details open={open || items.length <= 5}>
      <summary className="cursor-pointer text-soft">
        {items.length} items{items.length > shown.length ? `, the first ${shown.length} shown` : ""}
      </summary>
      <div className="mt-1 overflow-x-auto">{body}</div>
    </details>
  );
}

const IMAGE = /\.(png|jpe?g|gif|webp|svg)$/i;
const PAGE = /\.html?$/i;

/** How much of an artifact is fetched to be shown. */
const SHOWN_BYTES_MAX = 20 << 20;

/** A link to an artifact. Pictures are shown; pages are shown in a frame that may run nothing and reach nothing. */
export function ArtifactPreview({ artifact }: { artifact: Artifact }) {
  const [open, setOpen] = useState(false);
  const [failed, setFailed] = useState<string>();
  const name = artifact.name || artifact.kind || "artifact";
  const picture = IMAGE.test(name);
  const page = PAGE.test(name);
  const save = async () => {
    try {
      setFailed(undefined);
      const address = URL.createObjectURL(await blob(source(artifact)));
      const link = document.createElement("a");
      link.href = address;
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
    } catch (error) {
      setFailed(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <div>
      <span className="inline-flex flex-wrap items-center gap-x-3">
        <button type="button" onClick={() => void save()} title="save it" className="text-left font-medium text-accent hover:underline">
          {name}
        </button>
        <span className="text-soft">{bytes(artifact.size)}</span>
        <code className="font-mono text-[12px] text-faint" title={artifact.digest}>
          {artifact.digest.slice(0, 19)}…
        </code>
        {(picture || page) && artifact.size <= SHOWN_BYTES_MAX ? (
          <button type="button" className="text-accent hover:underline" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "hide" : "show"}
          </button>
        ) : null}
        <Link to="/artifacts" search={{ digest: artifact.digest }} className="text-soft hover:underline">
          lineage
        </Link>
      </span>
      {failed ? <p className="text-bad">✕ {failed}</p> : null}
      {open ? <Shown artifact={artifact} name={name} page={page} /> : null}
    </div>
  );
}

const source = (artifact: Artifact) => `/api/v1/artifacts/${artifact.digest}`;

/** What is in it, fetched with the caller's token. A page of somebody else gets no script, no form, no window and no network: the frame forbids
 * the first three, the policy of this page, which the frame takes over, the last. Its own inline style goes with that. */
function Shown({ artifact, name, page }: { artifact: Artifact; name: string; page: boolean }) {
  const [content, setContent] = useState<string>();
  const [failed, setFailed] = useState<string>();
  useEffect(() => {
    const stop = new AbortController();
    const read = async () => {
      const found = await blob(source(artifact), stop.signal);
      if (page) return setContent(await found.text());
      // Typed by its name: the server says of every artifact that it is bytes.
      const type = /\.svg$/i.test(name) ? "image/svg+xml" : `image/${name.split(".").at(-1)!.toLowerCase().replace("jpg", "jpeg")}`;
      const reader = new FileReader();
      reader.onload = () => setContent(String(reader.result));
      reader.readAsDataURL(new Blob([found], { type }));
    };
    read().catch((error: unknown) => (stop.signal.aborted ? undefined : setFailed(error instanceof Error ? error.message : String(error))));
    return () => stop.abort();
  }, [artifact.digest, name, page]);
  if (failed) return <p className="text-bad">✕ {failed}</p>;
  if (content === undefined) return <p role="status" className="text-soft">Fetching {bytes(artifact.size)}…</p>;
  if (page) return <iframe srcDoc={content} title={name} sandbox="" className="mt-2 h-[640px] w-full rounded-md border border-line bg-white" />;
  return <img src={content} alt={name} className="mt-2 max-h-[480px] rounded-md border border-line bg-white" />;
}
