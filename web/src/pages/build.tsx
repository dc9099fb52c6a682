// The builder: picture, form and text of one workflow file. What is drawn is written, what is written is drawn.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useDeferredValue, useEffect, useRef, useState } from "react";

import { ApiError, post } from "../api/client";
import { connectors, source, wiring } from "../api/editing";
import { useWorkflows } from "../api/queries";
import { Button, Empty, Failed, Loading } from "../ui/kit";
import { Tags } from "../ui/tags";
import { Canvas } from "./build/canvas";
import { findingsBy, freeName, inputsOf, kindOf, KINDS, NEW_WORKFLOW, nodesOf, outputsOf, pins, template, unwireAfter, wireAfter, type Kind } from "./build/document";
import { DrawDialog, Refusals } from "./build/drawing";
import { ChangesPane, PlanPane } from "./build/foresight";
import { NodeForm } from "./build/form";
import { useLooking } from "./build/looking";
import { useSheet } from "./build/sheet";
import { TestStep } from "./build/teststep";
import { TextPane } from "./build/text";

const PANES = ["form", "text", "plan", "changes"] as const;
type Pane = (typeof PANES)[number];

export function BuildPage() {
  const { workflow } = useSearch({ from: "/build" });
  const stored = useQuery({ queryKey: ["resources", "source", workflow], queryFn: () => source(workflow!), enabled: workflow !== undefined, refetchOnWindowFocus: true });
  if (workflow !== undefined) {
    if (stored.error) return <Failed error={stored.error} />;
    if (stored.isPending) return <Loading what={workflow} />;
    if (stored.data.text === null) {
      return (
        <Empty title="The text of this workflow is not on the server" code={`tutti apply -f ${workflow.split("/").at(-1)}.workflow.yaml`}>
          It was registered before texts were kept. Apply its file again, and it can be edited here.
        </Empty>
      );
    }
  }
  return <Builder key={workflow ?? ""} workflow={workflow} text={stored.data?.text ?? NEW_WORKFLOW} version={stored.data?.version ?? 0} />;
}

function Builder({ workflow, text, version }: { workflow?: string; text: string; version: number }) {
  const { state, open, apply, settled, type, go, markSaved } = useSheet(workflow);
  const [chosen, choose] = useState<string>();
  const [base, setBase] = useState({ text, version });
  const [pane, setPane] = useState<Pane>("text");
  const [broken, setBroken] = useState<unknown>(null);
  const [testing, setTesting] = useState(false);
  const [drawing, draw] = useState<{ from: string; to: string }>();
  useLooking({ chosen, choose, pane, setPane }, PANES);
  // What is wrong is said first; the picture of hundreds of nodes, and what the rules say of it, follow when there is time.
  const pictured = useDeferredValue(state.sheet);
  const read = pictured?.text;
  const rules = useQuery({ queryKey: ["policy", "wires", workflow, read], queryFn: () => wiring(read!, workflow), enabled: read !== undefined, placeholderData: (old) => old }).data;
  const catalogue = useQuery({ queryKey: ["resources", "connectors"], queryFn: connectors });
  // Opened once: what others save meanwhile is shown as a conflict, and does not pull the text away.
  useEffect(() => void open(base.text, workflow === undefined ? "" : base.text).catch(setBroken), [open]);
  const undo = useCallback(() => void go("back"), [go]);
  const redo = useCallback(() => void go("forward"), [go]);
  const save = useSave(workflow, base.version, (saved, newVersion) => {
    markSaved(saved);
    setBase({ text: saved, version: newVersion });
  });
  const keys = useRef({ undo, redo, save: () => {}, text: () => {} });
  const [wanted, want] = useState(0);
  useBuilderKeys(keys, useCallback(() => void settled().then(() => want((times) => times + 1)), [settled]));
  // The state of the last edit comes before the wish: both are told to React in this order.
  useEffect(() => (wanted > 0 ? keys.current.save() : undefined), [wanted]);
  if (broken) return <Failed error={broken} />;
  const { sheet } = state;
  if (!sheet) return <Loading what="the file" />;
  const errors = sheet.findings.filter((finding) => finding.severity === "error");
  const dirty = state.text !== state.saved;
  const node = nodesOf(sheet.document).find(([id]) => id === chosen)?.[1];
  const savable = dirty && errors.length === 0 && !save.isPending && version <= base.version && state.text === sheet.text;
  const add = (kind: Kind, of?: string) => {
    const name = freeName(sheet.document, of ? of.split("/").at(-1)!.split("@")[0]! : kind === "use" ? "step" : kind);
    void apply([{ op: "add", node: name, value: template(kind, of) }]);
    choose(name);
    setPane("form");
  };
  const wire = (from: string, to: string) => {
    const labelled = rules?.steps.some((step) => step.path === from && step.label.length > 0);
    // What says nothing of what it gives, and is known to carry nothing, is wired by order alone.
    if (inputsOf(sheet.document, to) !== null && (labelled || outputsOf(sheet.document, from).length > 0)) draw({ from, to });
    else void apply([wireAfter(sheet.document, from, to)].filter((made) => made !== null));
  };
  const refused = rules?.refused.filter((step) => step.path.split(/[/[!]/)[0] === chosen) ?? [];
  const reads = rules?.steps.find((step) => step.path === chosen);
  const conflict = version > base.version;
  keys.current = { undo, redo, save: () => (savable ? save.mutate(state.text) : undefined), text: () => setPane((old) => (old === "text" ? "form" : "text")) };
  return (
    <div className="-mx-5 -my-6 flex h-[calc(100vh-3.25rem)] flex-col">
      <div className="flex flex-wrap items-center gap-2 border-b border-line bg-raised px-4 py-2">
        <h1 className="mr-2 font-semibold">{String(sheet.document.workflow ?? "no name yet")}</h1>
        <span role="status" className={errors.length ? "text-bad" : "text-good"}>
          {errors.length ? `✕ ${errors.length} ${errors.length === 1 ? "error" : "errors"}` : "● it checks"}
        </span>
        {rules && rules.refused.length > 0 ? (
          <span role="status" className="text-bad">
            ✕ policy refuses {rules.refused.map((step) => step.path).join(", ")}
          </span>
        ) : null}
        <span className="text-faint">{dirty ? "not saved" : `version ${base.version}`}</span>
        <div className="ml-auto flex gap-2">
          <Button onClick={undo} disabled={state.past.length === 0} title="Ctrl Z outside of the text">
            Undo
          </Button>
          <Button onClick={redo} disabled={state.future.length === 0}>
            Redo
          </Button>
          <Button look="primary" disabled={!savable} title="Ctrl S" onClick={() => save.mutate(state.text)}>
            Save
          </Button>
          {!dirty && sheet.document.workflow ? (
            <Link to="/workflow/$" params={{ _splat: String(sheet.document.workflow) }} className="inline-flex items-center rounded-md border border-line px-3 font-medium hover:bg-sunken">
              Run it
            </Link>
          ) : null}
        </div>
      </div>
      {testing && node && chosen ? <TestStep text={sheet.text} doc={sheet.document} workflow={workflow} id={chosen} node={node} onClose={() => setTesting(false)} /> : null}
      {drawing ? <DrawDialog text={sheet.text} doc={sheet.document} workflow={workflow} {...drawing} onWire={(edits) => void apply(edits)} onClose={() => draw(undefined)} /> : null}
      {conflict ? <Conflict mine={state.text} theirs={text} take={() => void open(text, text).then(() => setBase({ text, version }))} keep={() => setBase({ text, version })} /> : null}
      {state.refused ? (
        <p role="alert" className="border-b border-line bg-raised px-4 py-2 text-bad">
          ✕ {state.refused}
        </p>
      ) : null}
      {sheet.notices.length > 0 ? (
        <p role="status" className="border-b border-line bg-raised px-4 py-2 text-warn">
          {sheet.notices.map((notice) => notice.message).join(" · ")}
        </p>
      ) : null}
      {save.error ? <Failed error={save.error} /> : null}
      <div className="grid min-h-0 flex-1 grid-cols-[180px_minmax(0,1fr)_minmax(340px,36%)]">
        <Catalogue names={(catalogue.data ?? []).map((known) => `${known.name}@${known.version}`)} add={add} />
        <Canvas
          sheet={pictured ?? sheet}
          workflow={workflow}
          wiring={rules}
          chosen={chosen}
          onChoose={(id) => {
            choose(id);
            setPane((old) => (id ? "form" : old === "form" ? "text" : old));
          }}
          onPin={(id, at) => void apply([{ op: "pin", node: id, at }])}
          onWire={wire}
          onUnwire={(from, to) => void apply([unwireAfter(sheet.document, from, to)].filter((made) => made !== null))}
          onRemove={(ids) => {
            choose(undefined);
            void apply(ids.map((id) => ({ op: "remove", node: id })));
          }}
        />
        <div className="flex min-h-0 flex-col border-l border-line bg-raised">
          <div role="tablist" aria-label="Views of the file" className="flex gap-1 border-b border-line px-3 pt-2">
            {PANES.map((name) => (
              <button key={name} type="button" role="tab" aria-selected={pane === name} onClick={() => setPane(name)} className={`border-b-2 px-3 py-1.5 capitalize ${pane === name ? "border-accent" : "border-transparent text-soft"}`}>
                {name}
              </button>
            ))}
          </div>
          <div className={`min-h-0 flex-1 ${pane === "text" ? "" : "overflow-y-auto"}`}>
            {pane === "plan" ? (
              <PlanPane text={sheet.text} workflow={workflow} wrong={errors.length} onChoose={choose} />
            ) : pane === "changes" ? (
              <ChangesPane text={sheet.text} saved={workflow === undefined ? "" : state.saved} workflow={workflow} wrong={errors.length} onChoose={choose} />
            ) : pane === "text" ? (
              <TextPane text={state.text} findings={sheet.text === state.text ? sheet.findings : []} onType={type} show={chosen} />
            ) : node && chosen ? (
              <>
              {refused.length > 0 ? <div className="p-4 pb-0"><Refusals steps={refused} /></div> : null}
              {reads && (reads.label.length > 0 || reads.sites.length > 0) ? (
                <p className="px-4 pt-4 text-soft">
                  It reads <Tags tags={reads.label} />{reads.sites.length > 0 ? `, and may be at ${reads.sites.join(", ")}.` : null}
                </p>
              ) : null}
              <NodeForm
                key={chosen}
                id={chosen}
                node={node}
                note={sheet.notes[chosen] ?? ""}
                connectors={catalogue.data ?? []}
                findings={findingsBy(sheet.document, sheet.text, sheet.findings)[chosen] ?? []}
                pinned={chosen in pins(sheet.document)}
                onTest={errors.length === 0 && kindOf(node) !== "decide" ? () => setTesting(true) : undefined}
                onEdit={(edits) => void apply(edits)}
                onRename={(to) => {
                  void apply([{ op: "rename", node: chosen, to }]);
                  choose(to);
                }}
              />
              </>
            ) : (
              <Empty title="No node is chosen">Choose one in the picture, or add one from the left.</Empty>
            )}
          </div>
        </div>
      </div>
    </div>
  );
}

type BuilderKeys = { undo: () => void; redo: () => void; save: () => void; text: () => void };

function useBuilderKeys(keys: React.RefObject<BuilderKeys>, save: () => void) {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!(event.metaKey || event.ctrlKey) || document.querySelector("dialog[open]")) return;
      const key = event.key.toLowerCase();
      const { undo, redo, text } = keys.current;
      // In the text and in fields, undoing is theirs.
      const undoes = key === "z" && !(event.target as HTMLElement).closest("input, textarea, [data-editor]");
      if (!undoes && key !== "s" && !(key === "e" && event.shiftKey)) return;
      event.preventDefault();
      if (key === "s") {
        // A field says what it holds when it is left.
        if (document.activeElement instanceof HTMLInputElement || document.activeElement instanceof HTMLTextAreaElement) document.activeElement.blur();
        save();
      } else if (key === "e") text();
      else if (event.shiftKey) redo();
      else undo();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [keys, save]);
}

type Applied = { applied: { kind: string; name: string; version: number }[] };

function useSave(workflow: string | undefined, version: number, done: (text: string, version: number) => void) {
  const queries = useQueryClient();
  const navigate = useNavigate({ from: "/build" });
  return useMutation({
    mutationFn: async (text: string) => {
      if (workflow !== undefined) {
        const there = await source(workflow);
        if (there.version > version) {
          await queries.invalidateQueries({ queryKey: ["resources", "source", workflow] });
          throw new ApiError({ type: "about:blank", title: "Somebody saved it meanwhile", status: 409, code: "", detail: `version ${there.version} is newer than yours, which began at ${version}` });
        }
      }
      const name = `${(workflow ?? "new").split("/").at(-1)}.workflow.yaml`;
      return { text, answer: await post<Applied>("/api/v1/apply", { documents: [{ path: name, text }], beside: workflow }) };
    },
    onSuccess: ({ text, answer }) => {
      const made = answer.applied.find((applied) => applied.kind === "workflow");
      void queries.invalidateQueries({ queryKey: ["resources"] });
      if (!made) return;
      done(text, made.version);
      if (made.name !== workflow) void navigate({ search: { workflow: made.name }, replace: true });
    },
  });
}

function Catalogue({ names, add }: { names: string[]; add: (kind: Kind, of?: string) => void }) {
  const workflows = useWorkflows().data ?? [];
  const item = "block w-full truncate rounded-md px-2 py-1 text-left hover:bg-sunken";
  return (
    <nav aria-label="Catalogue" className="overflow-y-auto border-r border-line bg-raised p-3">
      <h2 className="mb-1 px-2 text-faint">Add a node</h2>
      {KINDS.filter((kind) => kind !== "use" && kind !== "workflow" && kind !== "task").map((kind) => (
        <button key={kind} type="button" className={item} onClick={() => add(kind)}>
          {kind}
        </button>
      ))}
      <h2 className="mb-1 mt-3 px-2 text-faint">Connectors</h2>
      {names.map((name) => (
        <button key={name} type="button" className={item} title={name} onClick={() => add("use", name)}>
          {name}
        </button>
      ))}
      <h2 className="mb-1 mt-3 px-2 text-faint">Workflows</h2>
      {workflows.map((workflow) => (
        <button key={workflow.name} type="button" className={item} title={workflow.name} onClick={() => add("workflow", workflow.name)}>
          {workflow.name}
        </button>
      ))}
    </nav>
  );
}

function Conflict({ mine, theirs, take, keep }: { mine: string; theirs: string; take: () => void; keep: () => void }) {
  const [open, setOpen] = useState(false);
  return (
    <div role="alert" className="border-b border-line bg-raised px-4 py-2">
      <div className="flex flex-wrap items-center gap-3">
        <span className="font-medium text-warn">◌ Somebody saved another version meanwhile. Nothing of yours is lost.</span>
        <Button onClick={() => setOpen(!open)} aria-expanded={open}>
          {open ? "Hide both" : "Show both"}
        </Button>
        <Button onClick={take}>Take theirs</Button>
        <Button onClick={keep} title="saving then writes yours as the next version">
          Keep mine
        </Button>
      </div>
      {open ? (
        <div className="mt-2 grid max-h-80 grid-cols-2 gap-3 overflow-auto font-mono text-[12px]">
          <pre className="whitespace-pre-wrap">{theirs}</pre>
          <pre className="whitespace-pre-wrap">{mine}</pre>
        </div>
      ) : null}
    </div>
  );
}
