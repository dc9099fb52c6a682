// Values of a run: JSON as a tree, tables where rows are alike, artifacts as links with a preview. Nothing of a value is ever markup here.

import { Link } from "@tanstack/react-router";
import { useState } from "react";

import { bytes } from "../lib/format";
import { Preview, shownAs } from "./preview";
import { Save } from "./save";

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
  return <span className="font-mono text-code">{typeof value === "number" ? value.toLocaleString(undefined, { maximumFractionDigits: 6 }) : String(value)}</span>;
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

/** A link to an artifact. Pictures, tables and texts are shown; pages in a frame that may run nothing and reach nothing. */
export function ArtifactPreview({ artifact }: { artifact: Artifact }) {
  const [open, setOpen] = useState(false);
  const name = artifact.name || artifact.kind || "artifact";
  const as = shownAs(name, artifact.size);
  return (
    <div>
      <span className="inline-flex flex-wrap items-center gap-x-3">
        <Save from={`/api/v1/artifacts/${artifact.digest}`} as={name} fetched title="save it" className="text-left font-medium text-accent hover:underline">
          {name}
        </Save>
        <span className="text-soft">{bytes(artifact.size)}</span>
        <code className="font-mono text-small text-faint" title={artifact.digest}>
          {artifact.digest.slice(0, 19)}…
        </code>
        {as ? (
          <button type="button" className="text-accent hover:underline" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "hide" : "show"}
          </button>
        ) : null}
        <Link to="/artifacts" search={{ digest: artifact.digest }} className="inline-flex min-h-7 items-center text-soft hover:underline">
          lineage
        </Link>
      </span>
      {open && as ? <Preview digest={artifact.digest} name={name} size={artifact.size} as={as} /> : null}
    </div>
  );
}
