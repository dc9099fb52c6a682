// The fields of one node. Each is an edit of one path; an empty field is taken out of the text.

import { useMemo, useState } from "react";

import { pointer, type Edit, type Finding } from "../../api/editing";
import { useWorkflow } from "../../api/queries";
import { expressionsIn, expressionsWithin } from "../../lib/expressions";
import { typeWords } from "../../lib/types";
import { Button, Said } from "../../ui/kit";
import { fieldText, kindOf, parseField, type Callable, type NodeDoc } from "./document";
import { FieldsAt, TextField, type Place } from "./fields";
import { useEvaluations, useScope } from "./past";
import { taskOf } from "./tasks";

type Props = {
  id: string;
  node: NodeDoc;
  note: string;
  callable: Callable;
  findings: Finding[];
  pinned: boolean;
  /** Where it stands: the text, and the run whose values are shown. */
  place: Place;
  onEdit: (edits: Edit[]) => void;
  onRename: (to: string) => void;
  /** Runs it by itself; none while the file has errors, or when there is nothing to run. */
  onTest?: () => void;
};

type FieldDef = { path: string[]; name: string; help: string; long?: boolean; bare?: boolean };

const BY_KIND: Record<string, FieldDef[]> = {
  use: [{ path: ["use"], name: "Action", help: "connector/action@version" }],
  run: [
    { path: ["run", "script"], name: "Script", help: "run by a shell; JSON in and out by files", long: true },
    { path: ["run", "command"], name: "Command", help: 'the program and its arguments: ["python", "train.py"]' },
    { path: ["run", "env"], name: "Environment", help: '{"OMP_NUM_THREADS": 1}' },
    { path: ["run", "files"], name: "Files", help: 'files beside the workflow: ["train.py"]' },
  ],
  task: [{ path: ["task"], name: "Task", help: "a deployed task, NAME or NAME@VERSION" }],
  workflow: [{ path: ["workflow"], name: "Workflow", help: "project/name" }],
  human: [
    { path: ["human", "title"], name: "Question", help: "what is asked" },
    { path: ["human", "assign"], name: "Assigned to", help: '{"groups": ["risk-officers"]}' },
    { path: ["human", "show"], name: "Evidence", help: "what they see beside the form", long: true },
    { path: ["human", "form"], name: "Form", help: "JSON Schema of what they fill in", long: true },
    { path: ["human", "second"], name: "Second person", help: "a condition, or true", bare: true },
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
  { path: ["if"], name: "Only if", help: "a condition; otherwise it is skipped", bare: true },
  { path: ["after"], name: "After", help: "nodes that have to be done first" },
  { path: ["lowers"], name: "Lowers", help: '{"pii": "pseudonymous"}: tags that it takes off, where the rules let it' },
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

/** The conditions of a node, which stand without `${ }` too. */
function conditionsOf(node: NodeDoc): string[] {
  return [at(node, ["if"]), at(node, ["human", "second"])].flatMap((text) => (typeof text === "string" && text.trim() !== "" && !text.includes("${") ? [text.trim()] : []));
}

/** Where the fields of a node stand, with what is known of every expression in it. */
function usePlace(place: Place, id: string, node: NodeDoc): Place {
  const sources = useMemo(() => [...new Set([...expressionsWithin(node), ...conditionsOf(node)])], [node]);
  const listed = at(node, ["each", "items"]);
  const items = typeof listed === "string" ? expressionsIn(listed)[0]?.source : undefined;
  const scope = useScope(place.text, place.beside, id);
  const known = useEvaluations({ text: place.text, beside: place.beside, node: id, run: place.run, sources, items });
  return useMemo(() => ({ ...place, node: id, scope, items, known }), [place, id, scope, items, known]);
}

/** What may be given to a node, with what it is for and whether it has to be: out of the connector, or the task or the workflow that it runs. */
function useTaken(node: NodeDoc, { connectors, tasks }: Callable): { about?: string; fields: { name: string; help?: string; needed: boolean }[] } {
  const kind = kindOf(node);
  const named = kind === "workflow" && !String(node.workflow ?? "").startsWith(".") ? String(node.workflow ?? "") : "";
  const workflow = useWorkflow(named, named !== "").data?.graph;
  if (kind === "workflow") return { about: workflow?.description, fields: (workflow?.inputs ?? []).map((port) => ({ name: port.name, help: port.schema.description ?? port.schema.title, needed: port.default === undefined })) };
  if (kind === "task") {
    const task = taskOf(node.task, tasks);
    const ports = Object.entries(task?.inputs?.properties ?? {});
    const gives = Object.entries(task?.outputs?.properties ?? {}).map(([name, port]) => `${name}, ${typeWords(port)}`);
    const about = task && `${task.project}, ${task.domain}, version ${task.version}. It gives ${gives.join("; ") || "nothing"}.`;
    return { about, fields: ports.map(([name, port]) => ({ name, help: port.description ?? typeWords(port), needed: task?.inputs?.required?.includes(name) ?? false })) };
  }
  const connector = connectors.find((known) => kind === "use" && String(node.use ?? "").split("@")[0] === known.name);
  const properties = Object.entries(connector?.inputs.properties ?? {});
  return { about: connector?.description, fields: properties.map(([name, schema]) => ({ name, help: schema.description, needed: connector?.inputs.required?.includes(name) ?? false })) };
}

export function NodeForm({ id, node, note, callable, findings, pinned, place, onEdit, onRename, onTest }: Props) {
  const kind = kindOf(node);
  const here = usePlace(place, id, node);
  const taken = useTaken(node, callable);
  const set = (path: string[], text: string) => {
    const full = pointer("nodes", id, ...path);
    onEdit([text.trim() === "" ? { op: "unset", path: full } : { op: "set", path: full, value: parseField(text) }]);
  };
  const field = ({ path, name, help, long, bare }: FieldDef) => {
    const text = fieldText(at(node, path));
    return <TextField key={path.join("/")} name={name} help={help} long={long} bare={bare} value={text} onDone={(next) => (next !== text ? set(path, next) : undefined)} />;
  };
  const given = (at(node, ["with"]) ?? {}) as Record<string, unknown>;
  const known = new Map(taken.fields.map((one) => [one.name, one]));
  const names = [...new Set([...known.keys(), ...(typeof given === "object" && given !== null ? Object.keys(given) : [])])];
  return (
    <FieldsAt value={here}>
      <div data-node-form className="space-y-4 p-4">
        <Findings findings={findings} />
        <TextField name="Name" help="its id; every reference follows" value={id} onDone={(text) => (text.trim() && text !== id ? onRename(text.trim()) : undefined)} />
        <TextField name="Note" help="the comment above it" value={note} long onDone={(text) => (text !== note ? onEdit([{ op: "note", node: id, text }]) : undefined)} />
        {(BY_KIND[kind] ?? []).map(field)}
        {["use", "run", "task", "workflow"].includes(kind) ? (
          <fieldset className="rounded-md border border-line p-3">
            <legend className="px-1 font-medium">With</legend>
            {taken.about ? <p className="mb-2 text-faint">{taken.about}</p> : null}
            <div className="space-y-3">
              {names.map((name) => field({ path: ["with", name], name: `${name}${known.get(name)?.needed ? " *" : ""}`, help: known.get(name)?.help ?? "a value, or ${ … }" }))}
              <AddInput onAdd={(name) => onEdit([{ op: "set", path: pointer("nodes", id, "with", name), value: "" }])} />
            </div>
          </fieldset>
        ) : null}
        <details>
          <summary className="cursor-pointer font-medium">Modifiers</summary>
          <div className="mt-3 space-y-3">{MODIFIERS.map(field)}</div>
        </details>
        <div className="flex flex-wrap gap-2">
          {onTest ? <Button onClick={onTest}>Test this step</Button> : null}
          {pinned ? <Button onClick={() => onEdit([{ op: "unpin", node: id }])}>Unpin</Button> : null}
          <Button look="danger" onClick={() => onEdit([{ op: "remove", node: id }])}>
            Remove
          </Button>
        </div>
      </div>
    </FieldsAt>
  );
}

export function Findings({ findings }: { findings: Finding[] }) {
  if (findings.length === 0) return null;
  return (
    <ul className="space-y-1" aria-label="Findings">
      {findings.map((finding, index) => (
        <li key={index} className={finding.severity === "error" ? "text-bad" : "text-warn"}>
          ✕ <span className="font-mono text-small">{finding.code}</span> <Said text={finding.message} />
          {finding.hint ? <span className="block pl-5 text-soft">{finding.hint}</span> : null}
        </li>
      ))}
    </ul>
  );
}

function AddInput({ onAdd }: { onAdd: (name: string) => void }) {
  const [name, setName] = useState("");
  return (
    <div className="flex gap-2">
      <input aria-label="Name of a new input" placeholder="another input" value={name} onChange={(event) => setName(event.target.value)} className="min-w-0 flex-1 rounded-md border border-edge bg-surface px-2 py-1" />
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
