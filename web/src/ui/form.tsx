// Forms from JSON Schema: what a person fills in to start a run or to decide. The server checks again.

import { useEffect, useId, useState } from "react";

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

/** What was filled into a form, in another form: what has a field there stays, and what is new there begins as it says. */
export function carried(values: FormValue, before: JsonSchema, after: JsonSchema): FormValue {
  const begun = initial(after);
  const kept = (name: string) => (name in (before.properties ?? {}) ? values[name] : begun[name]);
  return Object.fromEntries(Object.keys(after.properties ?? {}).flatMap((name) => (kept(name) === undefined ? [] : [[name, kept(name)]])));
}

/** Of values those that a form has fields for: the last run may have been of a version that took others. */
export function taken(schema: JsonSchema, values: FormValue): FormValue {
  return Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(schema.properties ?? {}, name)));
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
  // An object whose fields are known has a field for each; what is something else is better read as it stands.
  if (type === "object" && Object.keys(schema.properties ?? {}).length > 0 && (value === undefined || (typeof value === "object" && value !== null))) {
    return (
      <fieldset className="rounded-md border border-line px-3 pb-3 pt-1">
        <legend className="px-1 text-soft">{label}</legend>
        {help}
        <Form schema={schema} values={(value ?? {}) as FormValue} onChange={(next) => onChange(Object.keys(next).length > 0 ? next : undefined)} />
      </fieldset>
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
  if (isListed(schema)) return <Written id={id} value={value} onChange={onChange} read={(text) => readLines(text, schema)} write={(list) => linesOf(list) ?? written(list)} hint="one a line" />;
  return <Written id={id} value={value} onChange={onChange} read={readJson} write={written} hint="JSON" />;
}

/** Whether the parts of a list can each be written on a line of their own. */
const isListed = (schema: JsonSchema) => schema.type === "array" && ["string", "integer", "number"].includes(String(schema.items?.type ?? ""));

/** A list of texts or numbers as lines; none when a line cannot say it. */
export function linesOf(value: unknown): string | null {
  if (value === undefined) return "";
  if (!Array.isArray(value) || !value.every((item) => typeof item === "number" || (typeof item === "string" && /^[^[\s][^\n]*$/.test(item)))) return null;
  return value.join("\n");
}

/** What lines say: a list of texts or of numbers. A list that is written as JSON is taken as well. */
export function readLines(text: string, schema: JsonSchema): unknown {
  if (text.trim() === "" || text.trimStart().startsWith("[")) return readJson(text);
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (schema.items?.type === "string") return lines;
  return lines.map((line) => (Number.isFinite(Number(line)) ? Number(line) : line));
}

const written = (value: unknown) => (value === undefined ? "" : JSON.stringify(value, null, 2));

/** What a text of JSON says. Text that is no JSON yet stays text, and the server says what is wrong with it. */
export function readJson(text: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

type WrittenProps = { id: string; value: unknown; onChange: (value: unknown) => void; read: (text: string) => unknown; write: (value: unknown) => string; hint: string };

/** What is written as text. What is typed stays as it was typed, until something else fills the field in. */
function Written({ id, value, onChange, read, write, hint }: WrittenProps) {
  const [text, setText] = useState(() => write(value));
  const isSame = written(read(text)) === written(value);
  useEffect(() => (isSame ? undefined : setText(write(value))), [isSame]);
  return (
    <textarea
      id={id}
      rows={3}
      spellCheck={false}
      className={`${BOX} font-mono text-code`}
      value={text}
      placeholder={hint}
      onChange={(event) => {
        setText(event.target.value);
        onChange(read(event.target.value));
      }}
    />
  );
}
