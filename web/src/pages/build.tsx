// The builder: picture, form and text of one workflow file. What is drawn is written, what is written is drawn.

import { useQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";

import { connectors, source, wiring, type Beside, type Finding, type Sheet, type Source } from "../api/editing";
import { useTasks } from "../api/queries";
import { EXAMPLES, type Example } from "../lib/examples";
import { Button, Empty, Failed, Loading, Working } from "../ui/kit";
import { Tags } from "../ui/tags";
import { Canvas } from "./build/canvas";
import { Catalogue } from "./build/catalogue";
import { Conflict } from "./build/conflict";
import { findingsBy, freeName, inputsOf, kindOf, NEW_WORKFLOW, nodesOf, outputsOf, pins, template, unwireAfter, wireAfter, type Callable, type Kind } from "./build/document";
import { dropDraft } from "./build/draft";
import { TakenUp, useDraft, useFoundDraft } from "./build/drafting";
import { DrawDialog, Refusals } from "./build/drawing";
import { FilesPane, type Held } from "./build/files";
import { ChangesPane, PlanPane } from "./build/foresight";
import { NodeForm } from "./build/form";
import { useDialogs, useLooking } from "./build/looking";
import { useLastRun } from "./build/past";
import { useBuilderKeys, useSave } from "./build/saving";
import { useSheet } from "./build/sheet";
import { taskOf, templateOf } from "./build/tasks";
import { TestStep } from "./build/teststep";
import { TextPane } from "./build/text";
import { WorkflowForm } from "./build/workflowform";

const PANES = ["form", "text", "files", "plan", "changes"] as const;
type Pane = (typeof PANES)[number];
/** The picture follows what is typed when no letter has come for so long. */
const QUIET_MS = 250;

export function BuildPage() {
  const { workflow, example } = useSearch({ from: "/build" });
  // A new file that was saved under a name is the same file: its history stays. Every other way to a file opens it anew.
  const named = useRef<string>(undefined);
  const opened = useRef({ workflow, times: 0 });
  if (workflow !== opened.current.workflow) {
    const isSame = opened.current.workflow === undefined && workflow === named.current;
    opened.current = { workflow, times: opened.current.times + (isSame ? 0 : 1) };
    named.current = undefined;
  }
  const stored = useQuery({ queryKey: ["resources", "source", workflow], queryFn: () => source(workflow!), enabled: workflow !== undefined, refetchOnWindowFocus: true });
  if (workflow !== undefined) {
    // What is being edited stays, also when it cannot be read anew.
    if (stored.error && !stored.data) return <Failed error={stored.error} />;
    if (stored.isPending) return <Loading what={workflow} />;
    if (stored.data.text === null) {
      return (
        <Empty title="The text of this workflow is not on the server" code={`tutti apply -f ${workflow.split("/").at(-1)}.workflow.yaml`}>
          It was registered before texts were kept. Apply its file again, and it can be edited here.
        </Empty>
      );
    }
  }
  const { text, version, files }: Source = stored.data ?? { text: NEW_WORKFLOW, version: 0, files: [] };
  return <Builder key={opened.current.times} workflow={workflow} text={text ?? ""} version={version} saved={files} example={workflow === undefined ? example : undefined} onNamed={(name) => (named.current = name)} />;
}

type BuilderProps = { workflow?: string; text: string; version: number; saved: string[]; example?: Example; onNamed: (name: string) => void };

function Builder({ workflow, text, version, saved: savedFiles, example, onNamed }: BuilderProps) {
  const found = useFoundDraft(workflow, { text, version });
  const [held, hold] = useState<Held>(found?.held ?? {});
  const beside: Beside = useMemo(() => ({ workflow, files: Object.keys(held).length > 0 ? held : undefined }), [workflow, held]);
  const keep = useRef<(text: string) => void>(() => {});
  const { state, busy, open, apply, settled, type, go, markSaved } = useSheet(beside, keep);
  const [chosen, choose] = useState<string>();
  const [base, setBase] = useState(found?.draft.base ?? { text, version });
  const [takenUp, setTakenUp] = useState(found !== undefined);
  keep.current = useDraft(workflow, base, state.sheet ? state.text : undefined, held);
  const [pane, setPane] = useState<Pane>(workflow === undefined ? "form" : "text");
  const [broken, setBroken] = useState<unknown>(null);
  const { testing, setTesting, drawing, draw } = useDialogs();
  useLooking({ chosen, choose, pane, setPane }, PANES);
  // What is wrong is said first; the picture of hundreds of nodes, and what the rules say of it, follow when there is time.
  const pictured = useDeferredValue(useQuiet(state.sheet, state.typed ? QUIET_MS : 0));
  const read = pictured?.text;
  const ruling = useQuery({ queryKey: ["policy", "wires", workflow, read], queryFn: () => wiring(read!, beside), enabled: read !== undefined, placeholderData: (old) => old });
  const rules = ruling.data;
  const known = useQuery({ queryKey: ["resources", "connectors"], queryFn: connectors }).data;
  const deployed = useTasks().data;
  const callable = useMemo((): Callable => ({ connectors: known ?? [], tasks: deployed ?? [] }), [known, deployed]);
  // Opened once: what others save meanwhile is shown as a conflict, and does not pull the text away.
  useEffect(() => {
    const begun = open(found?.draft.text ?? base.text, workflow === undefined ? "" : base.text);
    // An example is a step that can be undone, and takes no draft's place.
    void begun.then(() => (example && !found ? type(EXAMPLES[example]) : undefined)).catch(setBroken);
  }, [open]);
  const run = useLastRun(workflow);
  const undo = useCallback(() => void go("back"), [go]);
  const redo = useCallback(() => void go("forward"), [go]);
  const save = useSave(beside, base.version, ({ text: saved, version: newVersion, name, files: sent }) => {
    markSaved(saved);
    setBase({ text: saved, version: newVersion });
    setTakenUp(false);
    hold((old) => Object.fromEntries(Object.entries(old).filter(([path, content]) => sent[path] !== content)));
    dropDraft(sessionStorage, workflow);
    onNamed(name);
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
  const dirty = state.text !== state.saved || beside.files !== undefined;
  const node = nodesOf(sheet.document).find(([id]) => id === chosen)?.[1];
  const savable = dirty && errors.length === 0 && !save.isPending && version <= base.version && state.text === sheet.text;
  const saveNow = () => save.mutate({ text: state.text, name: String(sheet.document.workflow ?? "") });
  // One step that can be undone, as if it had been typed.
  const exemplify = () => type(EXAMPLES.greet);
  const leave = () => {
    hold({});
    setBase({ text, version });
    markSaved(workflow === undefined ? "" : text);
    type(text);
    setTakenUp(false);
  };
  // Theirs comes as a step too. Files that were added here are still here, and not saved.
  const theirs = () => {
    setBase({ text, version });
    markSaved(text);
    type(text);
  };
  // That the saving was refused is no news any more when the choice is made.
  const resolve = (choice: () => void) => {
    save.reset();
    choice();
  };
  const place = { text: sheet.text, beside, run };
  const add = (kind: Kind, of?: string) => {
    const task = kind === "task" ? taskOf(of, callable.tasks) : undefined;
    const short = task ? task.name.split(".").at(-1)! : of?.split("/").at(-1)!.split("@")[0];
    const name = freeName(sheet.document, short ?? (kind === "use" ? "step" : kind));
    void apply([{ op: "add", node: name, value: task ? templateOf(task) : template(kind, of) }]);
    choose(name);
    setPane("form");
  };
  const wire = (from: string, to: string) => {
    const document = sheet.document;
    const labelled = rules?.steps.some((step) => step.path === from && step.label.length > 0);
    // What says nothing of what it gives, and is known to carry nothing, is wired by order alone.
    if (inputsOf(document, to) !== null && (labelled || outputsOf(document, from, callable).length > 0)) draw([from, to]);
    else void apply([wireAfter(document, from, to)].filter((made) => made !== null));
  };
  const refused = rules?.refused.filter((step) => step.path.split(/[/[!]/)[0] === chosen) ?? [];
  const reads = rules?.steps.find((step) => step.path === chosen);
  const conflict = version > base.version;
  keys.current = { undo, redo, save: () => (savable ? saveNow() : undefined), text: () => setPane((old) => (old === "text" ? "form" : "text")) };
  return (
    <div data-builder aria-busy={busy} className="-mx-5 -my-6 flex h-[calc(100vh-6rem)] lg:h-[calc(100vh-3.25rem)] flex-col">
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
        {rules && !rules.checked && errors.length > 0 ? (
          <span role="status" className="text-warn" title={rules.left_out.length > 0 ? `nothing can be said of ${rules.left_out.join(", ")} until the file checks; of the others what wires carry, and what is forbidden, shows as far as they read each other` : "nobody can ask them of a file with such errors: what wires carry, and what is forbidden, shows when it checks"}>
            ◌ the rules wait for {rules.left_out.length > 0 ? rules.left_out.join(", ") : "that"}
          </span>
        ) : null}
        <span className="text-faint">{dirty ? "not saved" : `version ${base.version}`}</span>
        {busy || save.isPending ? <Working what={save.isPending ? "Saving" : "Making the edit"} /> : null}
        <div className="ml-auto flex gap-2">
          <Button onClick={undo} disabled={state.past.length === 0} title="Ctrl Z outside of the text">
            Undo
          </Button>
          <Button onClick={redo} disabled={state.future.length === 0}>
            Redo
          </Button>
          <Button look="primary" disabled={!savable} title="Ctrl S" onClick={saveNow}>
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
      {drawing && drawing.every((id) => nodesOf(sheet.document).some(([known]) => known === id)) ? <DrawDialog text={sheet.text} doc={sheet.document} beside={beside} callable={callable} from={drawing[0]} to={drawing[1]} onWire={(edits) => void apply(edits)} onClose={() => draw(undefined)} /> : null}
      {takenUp && found ? <TakenUp draft={found.draft} fresh={workflow === undefined} onKeep={() => setTakenUp(false)} onLeave={leave} /> : null}
      {conflict ? <Conflict mine={state.text} theirs={text} take={() => resolve(theirs)} keep={() => resolve(() => setBase({ text, version }))} /> : null}
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
      <div className="grid min-h-0 flex-1 grid-cols-[150px_minmax(0,1fr)_minmax(320px,36%)] lg:grid-cols-[180px_minmax(0,1fr)_minmax(340px,36%)]">
        <Catalogue names={callable.connectors.map((one) => `${one.name}@${one.version}`)} tasks={callable.tasks} add={add} />
        <Canvas
          sheet={pictured ?? sheet}
          beside={beside}
          onExample={state.text === NEW_WORKFLOW ? exemplify : undefined}
          wiring={rules}
          behind={pictured !== sheet || ruling.isPending || ruling.isPlaceholderData}
          chosen={chosen}
          onChoose={(id) => {
            choose(id);
            if (id) setPane("form");
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
          <Panes pane={pane} setPane={setPane} />
          <div className={`min-h-0 flex-1 ${pane === "text" ? "" : "overflow-y-auto"}`}>
            {pane === "plan" ? (
              <PlanPane text={sheet.text} beside={beside} wrong={errors.length} onChoose={choose} />
            ) : pane === "changes" ? (
              <ChangesPane text={sheet.text} saved={workflow === undefined ? "" : state.saved} beside={beside} wrong={errors.length} onChoose={choose} />
            ) : pane === "text" ? (
              <TextPane text={state.text} findings={sheet.text === state.text ? sheet.findings : undefined} onType={type} show={chosen} />
            ) : pane === "files" ? (
              <FilesPane saved={savedFiles} held={held} onHold={hold} />
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
                note={Object.hasOwn(sheet.notes, chosen) ? sheet.notes[chosen]! : ""}
                callable={callable}
                findings={findingsBy(sheet.document, sheet.text, sheet.findings)[chosen] ?? []}
                pinned={chosen in pins(sheet.document)}
                place={place}
                onTest={errors.length === 0 && beside.files === undefined && kindOf(node) !== "decide" ? () => setTesting(true) : undefined}
                onEdit={(edits) => void apply(edits)}
                onRename={(to) => {
                  void apply([{ op: "rename", node: chosen, to }]);
                  choose(to);
                }}
              />
              </>
            ) : (
              <WorkflowForm doc={sheet.document} findings={chosen === undefined && errors.length > 0 ? elsewhere(sheet) : []} place={place} onEdit={(edits) => void apply(edits)} />
            )}
          </div>
        </div>
      </div>
    </div>
  );
}

/** The views of the file: one stop of Tab, and arrows from one to the next. */
function Panes({ pane, setPane }: { pane: Pane; setPane: (pane: Pane) => void }) {
  const onKeyDown = (event: KeyboardEvent<HTMLDivElement>) => {
    const at = PANES.indexOf(pane);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: PANES.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = (to + PANES.length) % PANES.length;
    setPane(PANES[next]!);
    (event.currentTarget.children[next] as HTMLElement).focus();
  };
  return (
    <div role="tablist" aria-label="Views of the file" onKeyDown={onKeyDown} className="flex gap-1 border-b border-line px-3 pt-2">
      {PANES.map((name) => (
        <button key={name} type="button" role="tab" tabIndex={pane === name ? 0 : -1} aria-selected={pane === name} onClick={() => setPane(name)} className={`border-b-2 px-3 py-1.5 capitalize ${pane === name ? "border-accent" : "border-transparent text-soft"}`}>
          {name}
        </button>
      ))}
    </div>
  );
}

/** A value once it has stayed the same for so long; at once when that is no time. */
function useQuiet<T>(value: T, ms: number): T {
  const [quiet, setQuiet] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setQuiet(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return ms === 0 ? value : quiet;
}

/** Findings that lie in no node. */
function elsewhere(sheet: Sheet): Finding[] {
  const inNodes = new Set(Object.values(findingsBy(sheet.document, sheet.text, sheet.findings)).flat());
  return sheet.findings.filter((finding) => !inNodes.has(finding));
}
