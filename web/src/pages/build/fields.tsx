// A field of a form in which expressions may stand: what could be written next is offered with its type, and what the last run would give for
// it stands below.

import { createContext, useContext, useEffect, useId, useLayoutEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";

import type { Beside, Scope } from "../../api/editing";
import { brief, expressionsOf, fragmentAt, suggestionsAt, valueAt, type Suggestion } from "../../lib/expressions";
import { Tags } from "../../ui/tags";
import { useEvaluations, usePastValues, type Evaluation } from "./past";

/** Where the fields of a form stand. */
export type Place = {
  text: string;
  beside: Beside;
  node?: string;
  scope?: Scope;
  /** The run whose values are shown. */
  run?: string;
  /** The items of the `each` that the fields stand in. */
  items?: string;
  /** What is known of the expressions that are in the text. */
  known?: Map<string, Evaluation>;
};

const Here = createContext<Place | null>(null);
export const FieldsAt = Here.Provider;

type Props = {
  name: string;
  help: string;
  value: string;
  long?: boolean;
  /** It is a condition: the whole of it is an expression, also without `${ }`. */
  bare?: boolean;
  onDone: (text: string) => void;
};

/** How long somebody has to pause before what they write is looked at. */
const PAUSE_MS = 250;

/** A field that says what it holds when it is left, not at every key: each time is one edit that can be undone. */
export function TextField({ name, help, value, long = false, bare = false, onDone }: Props) {
  const id = useId();
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState<number | null>(null);
  const [marked, mark] = useState(0);
  const input = useRef<HTMLInputElement & HTMLTextAreaElement>(null);
  const place = useContext(Here);
  useEffect(() => setText(value), [value]);
  // The next key comes after the caret is where it belongs.
  const goes = useRef<number>(undefined);
  useLayoutEffect(() => {
    if (goes.current !== undefined) input.current?.setSelectionRange(goes.current, goes.current);
    goes.current = undefined;
  }, [text]);
  const offered = useOffered(place, text, caret, bare);
  const open = offered.length > 0;
  const at = Math.min(marked, offered.length - 1);
  const take = (one: Suggestion) => {
    const next = text.slice(0, one.from) + one.insert + text.slice(caret ?? text.length);
    const end = one.from + one.insert.length;
    setText(next);
    setCaret(end);
    mark(0);
    goes.current = end;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      mark((at + (event.key === "ArrowDown" ? 1 : offered.length - 1)) % offered.length);
    } else if (open && (event.key === "Enter" || event.key === "Tab") && !event.shiftKey) {
      event.preventDefault();
      take(offered[at]!);
    } else if (open && event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      setCaret(null);
    } else if (event.key === "Enter" && !long) onDone(text);
  };
  const common = {
    id,
    ref: input,
    value: text,
    spellCheck: false,
    autoComplete: "off",
    onBlur: () => {
      setCaret(null);
      onDone(text);
    },
    onChange: (event: { target: { value: string; selectionStart: number | null } }) => {
      setText(event.target.value);
      setCaret(event.target.selectionStart);
      mark(0);
    },
    onKeyDown,
    className: "w-full rounded-md border border-edge bg-surface px-2 py-1 font-mono text-code",
    title: help,
    placeholder: help,
    "aria-autocomplete": "list" as const,
    "aria-controls": open ? `${id}-offered` : undefined,
    "aria-activedescendant": open ? `${id}-${at}` : undefined,
  };
  return (
    <div className="relative">
      <label htmlFor={id} className="mb-0.5 block text-soft">
        {name}
      </label>
      {long ? <textarea rows={Math.min(10, Math.max(2, text.split("\n").length))} {...common} /> : <input {...common} />}
      {open ? <Offered id={id} offered={offered} at={at} place={place!} onTake={take} /> : null}
      <span role="status" className="sr-only">
        {open ? `${offered.length} ways to go on` : ""}
      </span>
      {place && text !== "" ? <Below place={place} text={text} fresh={text !== value} bare={bare} /> : null}
    </div>
  );
}

function useOffered(place: Place | null, text: string, caret: number | null, bare: boolean): Suggestion[] {
  return useMemo(() => {
    if (!place?.scope || caret === null) return [];
    const fragment = fragmentAt(text, caret, bare);
    // A bare field offers nothing before something is written.
    if (!fragment || (bare && fragment.steps.length === 0 && fragment.prefix === "")) return [];
    return suggestionsAt(place.scope, fragment);
  }, [place?.scope, text, caret, bare]);
}

type OfferedProps = { id: string; offered: Suggestion[]; at: number; place: Place; onTake: (one: Suggestion) => void };

function Offered({ id, offered, at, place, onTake }: OfferedProps) {
  const nodes = [...new Set(offered.flatMap(({ steps }) => (steps[0] === "nodes" && steps.length > 1 ? [String(steps[1])] : [])))];
  const past = usePastValues(place.run, nodes);
  return (
    <ul id={`${id}-offered`} role="listbox" aria-label="What could follow" className="absolute inset-x-0 z-30 mt-1 max-h-72 overflow-y-auto rounded-md border border-line bg-raised py-1 shadow-xl">
      {offered.map((one, index) => {
        const value = valueAt(past, one.steps);
        return (
          <li
            key={one.name}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === at}
            // The field keeps the focus, so that choosing is not leaving it.
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => onTake(one)}
            className={`grid cursor-pointer grid-cols-[minmax(0,auto)_1fr] items-baseline gap-x-3 px-2 py-1 ${index === at ? "bg-sunken" : ""}`}
          >
            <span className="truncate font-mono text-code">{one.name}</span>
            <span className="flex min-w-0 items-baseline gap-2 text-small text-soft">
              <span className="whitespace-nowrap">{one.type}</span>
              {one.labels.length > 0 ? <Tags tags={one.labels} /> : null}
              {value !== undefined ? <span className="truncate font-mono">= {brief(value)}</span> : null}
            </span>
          </li>
        );
      })}
    </ul>
  );
}

/** What the expressions of a field are, and what they would give. */
function Below({ place, text, fresh, bare }: { place: Place; text: string; fresh: boolean; bare: boolean }) {
  const sources = useMemo(() => [...new Set(expressionsOf(text, bare).map((one) => one.source))].filter((source) => source !== ""), [text, bare]);
  const [settled, settle] = useState<string[]>([]);
  useEffect(() => {
    if (!fresh) return settle([]);
    const timer = setTimeout(() => settle(sources), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [fresh, sources]);
  const written = useEvaluations({ text: place.text, beside: place.beside, node: place.node, run: place.run, items: place.items, sources: fresh ? settled : [] });
  const known = fresh ? written : place.known;
  const lines = sources.flatMap((source) => {
    const found = known?.get(source);
    return found ? [{ source, found }] : [];
  });
  if (lines.length === 0) return null;
  return (
    <ul aria-label="What it gives" className="mt-0.5 space-y-0.5">
      {lines.map(({ source, found }) => (
        <li key={source} className="flex min-w-0 flex-wrap items-baseline gap-x-2 text-small text-soft">
          {lines.length > 1 ? <span className="max-w-full truncate font-mono text-faint">{source}</span> : null}
          <Gives found={found} run={place.run} />
        </li>
      ))}
    </ul>
  );
}

function Gives({ found, run }: { found: Evaluation; run?: string }) {
  if (found.problem) return <span className="text-bad">✕ {String((found.problem as { message?: string }).message)}</span>;
  return (
    <>
      <span className="whitespace-nowrap">{found.type}</span>
      {found.labels.length > 0 ? <Tags tags={found.labels} /> : null}
      {found.value !== undefined ? (
        <span className="min-w-0 truncate font-mono" title={JSON.stringify(found.value)}>
          = {brief(found.value)}
        </span>
      ) : run === undefined ? null : found.missing.length > 0 ? (
        <span>
          {run} has nothing of {found.missing.join(", ")} to show
        </span>
      ) : found.failed ? (
        <span>
          no value in {run}: {found.failed}
        </span>
      ) : null}
      {found.value !== undefined && run !== undefined ? <span className="text-faint">in {run}</span> : null}
    </>
  );
}
