// Forms from JSON Schema: what a person fills in to start a run or to decide. The server checks again.

import { useId } from "react";

import type { Graph, JsonSchema } from "../api/types";

export type FormValue = Record<string, unknown>;

/** The inputs of a workflow as one form. */
export function formOf(graph: Graph): JsonSchema {
  const properties: Record<string, JsonSchema> = {};
  for (const port of graph.inputs ?? []) properties[port.name] = { ...port.schema, default: port.default };
  return { properties, required: (graph.inputs ?? []).filter((port) => port.default === undefined).map((port) => port.name) };
}

/** The values that a form begins with. */
export function initial(schema: JsonSchema | null | undefined): FormValue {
  const values: FormValue = {};
  for (const [name, field] of Object.entries(schema?.properties ?? {})) {
    if (field.default !== undefined) values[name] = field.default;
    else if (field.type === "boolean") values[name] = false;
  }
  return values;
}

/** The names of required fields that have no value yet. */
export function missing(schema: JsonSchema | null | undefined, values: FormValue): string[] {
  return (schema?.required ?? []).filter((name) => values[name] === undefined || values[name] === "");
}

type FormProps = { schema: JsonSchema; values: FormValue; onChange: (values: FormValue) => void };

export function Form({ schema, values, onChange }: FormProps) {
  const fields = Object.entries(schema.properties ?? {});
  if (fields.length === 0) return <p className="text-soft">Nothing is to be filled in.</p>;
  return (
    <div className="space-y-3">
      {fields.map(([name, field]) => (
        <Field
          key={name}
          name={name}
          schema={field}
          required={schema.required?.includes(name) ?? false}
          value={values[name]}
          onChange={(value) => {
            const next = { ...values };
            if (value === undefined) delete next[name];
            else next[name] = value;
            onChange(next);
          }}
        />
      ))}
    </div>
  );
}

type FieldProps = { name: string; schema: JsonSchema; required: boolean; value: unknown; onChange: (value: unknown) => void };

const BOX = "w-full rounded-md border border-edge bg-surface px-3 py-1.5";

function Field({ name, schema, required, value, onChange }: FieldProps) {
  const id = useId();
  const type = Array.isArray(schema.type) ? schema.type.find((known) => known !== "null") : schema.type;
  const label = (
    <>
      {schema.title ?? name}
      {required ? <span className="text-bad"> *</span> : null}
    </>
  );
  const help = schema.description ? <span className="mt-0.5 block text-faint">{schema.description}</span> : null;
  if (type === "boolean") {
    return (
      <label className="flex items-start gap-2">
        <input type="checkbox" className="mt-1" checked={value === true} onChange={(event) => onChange(event.target.checked)} />
        <span>
          {label}
          {help}
        </span>
      </label>
    );
  }
  return (
    <div>
      <label htmlFor={id} className="mb-1 block text-soft">
        {label}
      </label>
      <Input id={id} type={type} schema={schema} required={required} value={value} onChange={onChange} />
      {help}
    </div>
  );
}

function Input({ id, type, schema, required, value, onChange }: { id: string; type?: string } & Omit<FieldProps, "name">) {
  if (schema.enum) {
    return (
      <select id={id} required={required} className={BOX} value={value === undefined ? "" : JSON.stringify(value)} onChange={(event) => onChange(event.target.value === "" ? undefined : JSON.parse(event.target.value))}>
        <option value="">choose</option>
        {schema.enum.map((choice) => (
          <option key={JSON.stringify(choice)} value={JSON.stringify(choice)}>
            {String(choice)}
          </option>
        ))}
      </select>
    );
  }
  if (type === "integer" || type === "number") {
    return (
      <input
        id={id}
        type="number"
        step={type === "integer" ? 1 : "any"}
        min={schema.minimum}
        max={schema.maximum}
        required={required}
        className={BOX}
        value={typeof value === "number" ? value : ""}
        onChange={(event) => onChange(event.target.value === "" ? undefined : event.target.valueAsNumber)}
      />
    );
  }
  if (type === "string") {
    const long = (schema.maxLength ?? 0) > 200 || ["comment", "text", "reason"].includes(schema.title?.toLowerCase() ?? "");
    const common = { id, required, className: BOX, maxLength: schema.maxLength, value: typeof value === "string" ? value : "" };
    return long ? (
      <textarea rows={3} {...common} onChange={(event) => onChange(event.target.value || undefined)} />
    ) : (
      <input type={schema.format === "date" ? "date" : "text"} {...common} onChange={(event) => onChange(event.target.value || undefined)} />
    );
  }
  return <JsonInput id={id} value={value} onChange={onChange} />;
}

/** Anything else is written as JSON. Text that is no JSON yet stays text, and the server says what is wrong with it. */
function JsonInput({ id, value, onChange }: { id: string; value: unknown; onChange: (value: unknown) => void }) {
  return (
    <textarea
      id={id}
      rows={3}
      spellCheck={false}
      className={`${BOX} font-mono text-[13px]`}
      defaultValue={value === undefined ? "" : JSON.stringify(value, null, 2)}
      placeholder="JSON"
      onChange={(event) => {
        const text = event.target.value;
        if (text.trim() === "") return onChange(undefined);
        try {
          onChange(JSON.parse(text));
        } catch {
          onChange(text);
        }
      }}
    />
  );
}
