// The files that a workflow refers to: those saved with it, and those brought here that saving will take along.

import { useState } from "react";

import { bytes } from "../../lib/format";
import { Empty } from "../../ui/kit";

/** Bytes of all files that are held here until they are saved. */
const HELD_MAX = 8 << 20;

/** Files by path, in base64. */
export type Held = Record<string, string>;

type Props = { saved: string[]; held: Held; onHold: (held: Held) => void };

const sizeOf = (base64: string) => Math.floor((base64.length * 3) / 4) - (base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0);

async function encoded(file: File): Promise<string> {
  const content = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (let at = 0; at < content.length; at += 0x8000) binary += String.fromCharCode(...content.subarray(at, at + 0x8000));
  return btoa(binary);
}

export function FilesPane({ saved, held, onHold }: Props) {
  const [folder, setFolder] = useState("");
  const [refused, refuse] = useState<string>();
  const take = async (list: FileList | null) => {
    const chosen = [...(list ?? [])];
    const total = chosen.reduce((sum, file) => sum + file.size, 0) + Object.values(held).reduce((sum, text) => sum + sizeOf(text), 0);
    if (total > HELD_MAX) return refuse(`these are ${bytes(total)}; at most ${bytes(HELD_MAX)} are taken here. What is larger is an artifact: an input of the workflow.`);
    refuse(undefined);
    const prefix = folder.trim().replace(/^\/+|\/+$/g, "");
    const added = await Promise.all(chosen.map(async (file): Promise<[string, string]> => [[prefix, file.webkitRelativePath || file.name].filter(Boolean).join("/"), await encoded(file)]));
    onHold({ ...held, ...Object.fromEntries(added) });
  };
  const paths = [...new Set([...saved, ...Object.keys(held)])].sort();
  const button = "inline-flex min-h-8 cursor-pointer items-center rounded-md border border-line bg-raised px-3 py-1 font-medium hover:bg-sunken focus-within:outline-2 focus-within:outline-accent";
  return (
    <div className="space-y-4 p-4">
      <p className="text-soft">Code that nodes run (`files` of a `run`) and forms that they show (`$ref`) are files beside the workflow. What is added here is checked at once and kept when the workflow is saved.</p>
      <div className="flex flex-wrap items-end gap-2">
        <label className="min-w-0 flex-1">
          <span className="mb-0.5 block text-soft">Into the folder</span>
          <input value={folder} onChange={(event) => setFolder(event.target.value)} placeholder="beside the workflow" className="w-full rounded-md border border-edge bg-surface px-2 py-1 font-mono text-code" />
        </label>
        <label className={button}>
          Add files
          <input type="file" multiple className="sr-only" aria-label="Add files" onChange={(event) => void take(event.target.files).then(() => (event.target.value = ""))} />
        </label>
      </div>
      {refused ? (
        <p role="alert" className="text-bad">
          ✕ {refused}
        </p>
      ) : null}
      {paths.length === 0 ? (
        <Empty title="No file yet">A workflow of connectors and scripts needs none.</Empty>
      ) : (
        <ul aria-label="Files" className="divide-y divide-line rounded-md border border-line">
          {paths.map((path) => (
            <li key={path} className="flex items-center gap-3 px-3 py-1.5">
              <span className="min-w-0 flex-1 truncate font-mono text-code">{path}</span>
              {held[path] !== undefined ? (
                <>
                  <span className="text-warn">{saved.includes(path) ? "changed, not saved" : "not saved"}</span>
                  <span className="text-faint">{bytes(sizeOf(held[path]))}</span>
                  <button type="button" aria-label={`Leave ${path} out`} className="size-6 text-soft hover:text-ink" onClick={() => onHold(Object.fromEntries(Object.entries(held).filter(([other]) => other !== path)))}>
                    ✕
                  </button>
                </>
              ) : (
                <span className="text-faint">saved</span>
              )}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
