// The fields of one node. Each is an edit of one path; an empty field is taken out of the text.

import { useEffect, useId, useState } from "react";

import { pointer, type Connector, type Edit, type Finding } from "../../api/editing";
import { Button } from "../../ui/kit";
import { fieldText, kindOf, parseField, type NodeDoc } from "./document";

type Props = {
  id: string;
  node: NodeDoc;
  note: string;
  connectors: Connector[];
  findings: Finding[];
  pinned: boolean;
  onEdit: (edits: Edit[]) => void;
  onRename: (to: string) => void;
  /** Runs it by itself; none while the file has errors, or when there is nothing to run. */
  onTest?: () => void;
};

type FieldDef = { path: string[]; name: string; help: string; long?: boolean };

const BY_KIND: Record<string, FieldDef[]> = {
  use: [{ path: ["use"], name: "Action", help: "connector/action@version" }],
  run: [
    { path: ["run", "script"], name: "Script", help: "run by a shell; JSON in and out by files", long: true },
    { path: ["run", "command"], name: "Command", help: 'the program and its arguments: ["python", "train.py"]' },
    { path: ["run", "files"], name: "Files", help: 'files beside the workflow: ["train.py"]' },
  ],
  task: [{ path: ["task"], name: "Task", help: "the name of a registered task" }],
  workflow: [{ path: ["workflow"], name: "Workflow", help: "project/name" }],
  human: [
    { path: ["human", "title"], name: "Question", help: "what is asked" },
    { path: ["human", "assign"], name: "Assigned to", help: '{"groups": ["risk-officers"]}' },
    { path: ["human", "show"], name: "Evidence", help: "what they see beside the form", long: true },
    { path: ["human", "form"], name: "Form", help: "JSON Schema of what they fill in", long: true },
    { path: ["human", "second"], name: "Second person", help: "a condition, or true" },
  ],
  wait: [{ path: ["wait"], name: "Wait", help: '{"for": "10m"}, {"signal": "go"}, {"event": "paid"}', long: true }],
  each: [
    { path: ["each", "items"], name: "Items", help: "a list, or an expression that gives one" },
    { path: ["each", "concurrency"], name: "At once", help: "how many run at once" },
    { path: ["each", "do"], name: "Do", help: "the node that runs for each", long: true },
  ],
  decide: [{ path: ["decide"], name: "Branches", help: '[{"when": "${ … }", "then": "node"}, {"otherwise": "node"}]', long: true }],
};

const MODIFIERS: FieldDef[] = [
  { path: ["if"], name: "Only if", help: "a condition; otherwise it is skipped" },
  { path: ["after"], name: "After", help: "nodes that have to be done first" },
  { path: ["needs"], name: "Needs", help: '{"cpu": 2, "memory": "8Gi", "site": {"zone": "on-premise"}}' },
  { path: ["retry"], name: "Retry", help: '3, or {"max": 3, "backoff": "10s..5m"}' },
  { path: ["timeout"], name: "Timeout", help: "30s, 5m, 1h30m" },
  { path: ["cache"], name: "Cache", help: "true, or how long an output stays good" },
  { path: ["once"], name: "Once", help: "an idempotency key" },
  { path: ["undo"], name: "Undo", help: "what reverses it when the run fails later", long: true },
  { path: ["outputs"], name: "Outputs", help: "types of what it gives back", long: true },
];

function at(node: unknown, path: string[]): unknown {
  return path.reduce<unknown>((value, step) => (typeof value === "object" && value !== null ? (value as Record<string, unknown>)[step] : undefined), node);
}

export function NodeForm({ id, node, note, connectors, findings, pinned, onEdit, onRename, onTest }: Props) {
  const kind = kindOf(node);
  const set = (path: string[], text: string) => {
    const full = pointer("nodes", id, ...path);
    onEdit([text.trim() === "" ? { op: "unset", path: full } : { op: "set", path: full, value: parseField(text) }]);
  };
  const connector = connectors.find((known) => kind === "use" && String(node.use ?? "").split("@")[0] === known.name);
  const given = (at(node, ["with"]) ?? {}) as Record<string, unknown>;
  const withNames = [...new Set([...Object.keys(connector?.inputs.properties ?? {}), ...(typeof given === "object" && given !== null ? Object.keys(given) : [])])];
  const takesWith = ["use", "run", "task", "workflow"].includes(kind);
  return (
    <div data-node-form className="space-y-4 p-4">
      {findings.length > 0 ? (
        <ul className="space-y-1" aria-label="Findings">
          {findings.map((finding, index) => (
            <li key={index} className={finding.severity === "error" ? "text-bad" : "text-warn"}>
              ✕ <span className="font-mono text-[12px]">{finding.code}</span> {finding.message}
              {finding.hint ? <span className="block pl-5 text-soft">{finding.hint}</span> : null}
            </li>
          ))}
        </ul>
      ) : null}
      <TextField name="Name" help="its id; every reference follows" value={id} onDone={(text) => (text.trim() && text !== id ? onRename(text.trim()) : undefined)} />
      <TextField name="Note" help="the comment above it" value={note} long onDone={(text) => (text !== note ? onEdit([{ op: "note", node: id, text }]) : undefined)} />
      {(BY_KIND[kind] ?? []).map((field) => (
        <TextField key={field.path.join("/")} name={field.name} help={field.help} long={field.long} value={fieldText(at(node, field.path))} onDone={(text) => (text !== fieldText(at(node, field.path)) ? set(field.path, text) : undefined)} />
      ))}
      {takesWith ? (
        <fieldset className="rounded-md border border-line p-3">
          <legend className="px-1 font-medium">With</legend>
          {connector ? <p className="mb-2 text-faint">{connector.description}</p> : null}
          <div className="space-y-3">
            {withNames.map((name) => (
              <TextField
                key={name}
                name={`${name}${connector?.inputs.required?.includes(name) ? " *" : ""}`}
                help={connector?.inputs.properties?.[name]?.description ?? "a value, or ${ … }"}
                value={fieldText(given[name])}
                onDone={(text) => (text !== fieldText(given[name]) ? set(["with", name], text) : undefined)}
              />
            ))}
            <AddInput onAdd={(name) => onEdit([{ op: "set", path: pointer("nodes", id, "with", name), value: "" }])} />
          </div>
        </fieldset>
      ) : null}
      <details>
        <summary className="cursor-pointer font-medium">Modifiers</summary>
        <div className="mt-3 space-y-3">
          {MODIFIERS.map((field) => (
            <TextField key={field.name} name={field.name} help={field.help} long={field.long} value={fieldText(at(node, field.path))} onDone={(text) => (text !== fieldText(at(node, field.path)) ? set(field.path, text) : undefined)} />
          ))}
        </div>
      </details>
      <div className="flex gap-2">
        {onTest ? <Button onClick={onTest}>Test this step</Button> : null}
        {pinned ? <Button onClick={() => onEdit([{ op: "unpin", node: id }])}>Unpin</Button> : null}
        <Button look="danger" onClick={() => onEdit([{ op: "remove", node: id }])}>
          Remove
        </Button>
      </div>
    </div>
  );
}

function AddInput({ onAdd }: { onAdd: (name: string) => void }) {
  const [name, setName] = useState("");
  return (
    <div className="flex gap-2">
      <input aria-label="Name of a new input" placeholder="another input" value={name} onChange={(event) => setName(event.target.value)} className="min-w-0 flex-1 rounded-md border border-line bg-surface px-2 py-1" />
      <Button
        disabled={!/^[A-Za-z_]\w*$/.test(name)}
        onClick={() => {
          onAdd(name);
          setName("");
        }}
      >
        Add
      </Button>
    </div>
  );
}

type TextFieldProps = { name: string; help: string; value: string; long?: boolean; onDone: (text: string) => void };

/** A field that says what it holds when it is left, not at every key: each time is one edit that can be undone. */
function TextField({ name, help, value, long = false, onDone }: TextFieldProps) {
  const id = useId();
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const common = {
    id,
    value: text,
    spellCheck: false,
    onBlur: () => onDone(text),
    className: "w-full rounded-md border border-line bg-surface px-2 py-1 font-mono text-[13px]",
    title: help,
    placeholder: help,
  };
  return (
    <div>
      <label htmlFor={id} className="mb-0.5 block text-soft">
        {name}
      </label>
      {long ? (
        <textarea rows={Math.min(10, Math.max(2, text.split("\n").length))} {...common} onChange={(event) => setText(event.target.value)} />
      ) : (
        <input {...common} onChange={(event) => setText(event.target.value)} onKeyDown={(event) => (event.key === "Enter" ? onDone(text) : undefined)} />
      )}
    </div>
  );
}
