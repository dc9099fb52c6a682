// The fields of the workflow itself: its name, what it takes and what it gives.

import { useMemo, useState } from "react";

import { pointer, type Edit, type Finding } from "../../api/editing";
import { expressionsWithin } from "../../lib/expressions";
import { Button } from "../../ui/kit";
import { fieldText, parseField, portsOf, type Doc } from "./document";
import { FieldsAt, TextField, type Place } from "./fields";
import { Findings } from "./form";
import { useEvaluations, useScope } from "./past";

const TYPES = ["string", "integer", "number", "boolean", "array", "object", "file", "table", "model", "directory", "artifact"];

type Props = { doc: Doc; findings: Finding[]; place: Place; onEdit: (edits: Edit[]) => void };

export function WorkflowForm({ doc, findings, place, onEdit }: Props) {
  const outputs = typeof doc.outputs === "object" && doc.outputs !== null ? (doc.outputs as Record<string, unknown>) : {};
  const scope = useScope(place.text, place.beside, undefined);
  const sources = useMemo(() => expressionsWithin(doc.outputs), [doc.outputs]);
  const known = useEvaluations({ text: place.text, beside: place.beside, node: undefined, run: place.run, sources });
  const here = useMemo(() => ({ ...place, scope, known }), [place, scope, known]);
  const set = (path: string[], value: unknown) => onEdit([value === undefined || value === "" ? { op: "unset", path: pointer(...path) } : { op: "set", path: pointer(...path), value }]);
  const field = (path: string[], name: string, help: string, at: unknown, long = false) => (
    <TextField key={path.join("/")} name={name} help={help} long={long} value={fieldText(at)} onDone={(text) => (text !== fieldText(at) ? set(path, text.trim() === "" ? undefined : parseField(text)) : undefined)} />
  );
  return (
    <FieldsAt value={here}>
      <div className="space-y-4 p-4">
        <Findings findings={findings} />
        {field(["workflow"], "Workflow", "project/name", doc.workflow)}
        {field(["description"], "Description", "what it is for, in a sentence", doc.description, true)}
        {field(["timeout"], "Time limit", "30m, 2h", doc.timeout)}
        <fieldset className="rounded-md border border-line p-3">
          <legend className="px-1 font-medium">What it takes</legend>
          <div className="space-y-3">
            {portsOf(doc.inputs).map((port) => (
              <PortRow key={port.name} port={port} onEdit={onEdit} />
            ))}
            <AddName what="input" onAdd={(name) => set(["inputs", name], { type: "string" })} />
          </div>
        </fieldset>
        <fieldset className="rounded-md border border-line p-3">
          <legend className="px-1 font-medium">What it gives</legend>
          <div className="space-y-3">
            {Object.entries(outputs).map(([name, value]) => field(["outputs", name], name, "${ nodes.… }; empty takes it away", value))}
            <AddName what="output" onAdd={(name) => set(["outputs", name], "${ run.name }")} />
          </div>
        </fieldset>
        <p className="text-faint">A node is edited when it is chosen in the picture; one is added from the left.</p>
      </div>
    </FieldsAt>
  );
}

type Port = ReturnType<typeof portsOf>[number];

function PortRow({ port, onEdit }: { port: Port; onEdit: (edits: Edit[]) => void }) {
  const path = ["inputs", port.name];
  // What is written as its type alone becomes a map when more is said.
  const say = (change: Record<string, unknown>) => {
    const next = Object.fromEntries(Object.entries({ ...port.schema, ...change }).filter(([, value]) => value !== undefined));
    onEdit([{ op: "set", path: pointer(...path), value: next }]);
  };
  const { type: _type, default: _default, labels: _labels, ...more } = port.schema;
  const rest = Object.keys(more).length > 0 ? JSON.stringify(more) : "";
  const tags = Array.isArray(port.schema.labels) ? port.schema.labels.join(", ") : "";
  return (
    <div role="group" aria-label={`The input ${port.name}`} className="grid grid-cols-2 gap-x-3 gap-y-2 rounded border border-line p-2">
      <span className="self-center font-mono text-code">{port.name}</span>
      <div className="flex gap-2">
        <select aria-label={`Type of ${port.name}`} value={String(port.schema.type ?? "")} onChange={(event) => say({ type: event.target.value })} className="min-w-0 flex-1 rounded-md border border-edge bg-surface px-2 py-1">
          {[...new Set([String(port.schema.type ?? ""), ...TYPES])].map((type) => (
            <option key={type} value={type}>
              {type || "anything"}
            </option>
          ))}
        </select>
        <Button aria-label={`Take ${port.name} away`} onClick={() => onEdit([{ op: "unset", path: pointer(...path) }])}>
          ✕
        </Button>
      </div>
      <TextField name="Default" help="none: it has to be given" value={fieldText(port.schema.default)} onDone={(text) => (text !== fieldText(port.schema.default) ? say({ default: text.trim() === "" ? undefined : parseField(text) }) : undefined)} />
      <TextField name="Tags" help="pii, internal" value={tags} onDone={(text) => (text !== tags ? say({ labels: text.trim() === "" ? undefined : text.split(",").map((tag) => tag.trim()) }) : undefined)} />
      <div className="col-span-2">
        <TextField
          name="More"
          help='{"minimum": 1, "maximum": 100}: anything else of its JSON Schema'
          value={rest}
          onDone={(text) => {
            if (text === rest) return;
            const said = text.trim() === "" ? {} : parseField(text);
            const gone = Object.fromEntries(Object.keys(more).map((key) => [key, undefined]));
            if (typeof said === "object" && said !== null) say({ ...gone, ...said });
          }}
        />
      </div>
    </div>
  );
}

function AddName({ what, onAdd }: { what: string; onAdd: (name: string) => void }) {
  const [name, setName] = useState("");
  return (
    <form
      className="flex gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        onAdd(name);
        setName("");
      }}
    >
      <input aria-label={`Name of a new ${what}`} placeholder={`another ${what}`} value={name} onChange={(event) => setName(event.target.value)} className="min-w-0 flex-1 rounded-md border border-edge bg-surface px-2 py-1" />
      <Button type="submit" disabled={!/^[A-Za-z_]\w*$/.test(name)}>
        Add {what}
      </Button>
    </form>
  );
}
