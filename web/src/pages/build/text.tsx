// The text of the file, with findings at their place. What is typed here goes the same way as what is drawn.

import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { basicSetup } from "codemirror";
import { memo, useEffect, useRef } from "react";

import type { Finding } from "../../api/editing";

/** Spans are in bytes of UTF-8; the editor counts UTF-16 units. */
export function toUnits(text: string, bytes: number[]): number[] {
  const wanted = bytes.map((at, index) => ({ at, index })).sort((a, b) => a.at - b.at);
  const found = new Array<number>(bytes.length).fill(text.length);
  let byte = 0;
  let unit = 0;
  let next = 0;
  for (const character of text) {
    if (next === wanted.length) break;
    while (next < wanted.length && wanted[next]!.at <= byte) found[wanted[next++]!.index] = unit;
    const code = character.codePointAt(0)!;
    byte += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    unit += character.length;
  }
  return found;
}

const LOOK = EditorView.theme({
  "&": { height: "100%", fontSize: "13px", backgroundColor: "var(--raised)", color: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--raised)", color: "var(--faint)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 8%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 25%, transparent) !important" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", borderColor: "var(--line)" },
  ".cm-scroller": { fontFamily: "var(--font-mono)" },
});

/** Colours by role, so that light and dark both read well. */
const COLOURS = HighlightStyle.define([
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--busy)" },
  { tag: tags.comment, color: "var(--faint)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator, tags.bracket], color: "var(--soft)" },
]);

type Props = {
  text: string;
  /** What is wrong with this text; not known yet while somebody types: what was found before stays at its place until then. */
  findings: Finding[] | undefined;
  onType: (text: string) => void;
  show?: string;
};

export const TextPane = memo(function TextPane({ text, findings, onType, show }: Props) {
  const host = useRef<HTMLDivElement>(null);
  // The text that the editor has, and whether anything is marked in it.
  const has = useRef("");
  const marked = useRef(false);
  const view = useRef<EditorView>(null);
  const typed = useRef(onType);
  typed.current = onType;
  useEffect(() => {
    const listener = EditorView.updateListener.of((update) => {
      if (!update.docChanged) return;
      has.current = update.state.doc.toString();
      if (update.transactions.some((change) => change.isUserEvent("input") || change.isUserEvent("delete") || change.isUserEvent("undo") || change.isUserEvent("redo") || change.isUserEvent("move"))) typed.current(has.current);
    });
    const label = EditorView.contentAttributes.of({ "aria-label": "The text of the workflow", tabindex: "0" });
    // In a tree of its own the editor puts its rules into adopted style sheets; in the document it would need inline style, which the
    // content security policy forbids.
    const root = host.current!.shadowRoot ?? host.current!.attachShadow({ mode: "open" });
    const state = EditorState.create({ extensions: [basicSetup, yaml(), LOOK, syntaxHighlighting(COLOURS), EditorView.lineWrapping, listener, label] });
    view.current = new EditorView({ parent: root, root, state });
    [has.current, marked.current] = ["", false];
    return () => view.current?.destroy();
  }, []);
  useEffect(() => {
    const editor = view.current!;
    if (has.current !== text) editor.dispatch(difference(has.current, text));
    if (findings === undefined || (findings.length === 0 && !marked.current)) return;
    marked.current = findings.length > 0;
    const units = toUnits(text, findings.flatMap((finding) => [finding.span.start, finding.span.end]));
    const marks = findings.map((finding, index): Diagnostic => {
      const from = Math.min(units[index * 2]!, text.length);
      return {
        from,
        to: Math.min(Math.max(units[index * 2 + 1]!, from), text.length),
        severity: finding.severity,
        source: finding.code,
        message: finding.hint ? `${finding.message}\n${finding.hint}` : finding.message,
      };
    });
    editor.dispatch(setDiagnostics(editor.state, marks));
  }, [text, findings]);
  useEffect(() => {
    // What stands in the address may be anything.
    const lines = text.split("\n");
    const line = show ? lines.findIndex((one) => /^\s/.test(one) && one.trimStart().startsWith(`${show}:`)) : -1;
    const at = lines.slice(0, Math.max(0, line)).reduce((sum, one) => sum + one.length + 1, 0);
    if (line >= 0) view.current!.dispatch({ effects: EditorView.scrollIntoView(at, { y: "start", yMargin: 40 }) });
    // Only when another node is chosen: typing must not scroll.
  }, [show]);
  return <div ref={host} data-editor className="h-full overflow-hidden" />;
});

/** The smallest single change between two texts, so that cursor and scroll stay where they are. */
export function difference(old: string, text: string): { changes: { from: number; to: number; insert: string } } {
  let start = 0;
  while (start < old.length && start < text.length && old[start] === text[start]) start += 1;
  let end = 0;
  while (end < old.length - start && end < text.length - start && old[old.length - 1 - end] === text[text.length - 1 - end]) end += 1;
  return { changes: { from: start, to: old.length - end, insert: text.slice(start, text.length - end) } };
}
