// A text of Cedar, with its words in colour; and the same to write in.

import { HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { basicSetup } from "codemirror";
import { useEffect, useRef } from "react";

import { nextToken, tokens, type Token } from "../../lib/cedar";

const LOOKS: Record<Token["is"], string> = {
  comment: "text-faint italic",
  string: "text-good",
  effect: "font-semibold text-bad",
  keyword: "text-accent",
  annotation: "text-warn",
  entity: "text-busy",
  number: "text-busy",
  plain: "",
};

export function Cedar({ text }: { text: string }) {
  return (
    // It can be longer than its box, and is reached by keys.
    <pre tabIndex={0} aria-label="The text of the policy" className="overflow-x-auto rounded-md bg-sunken px-4 py-3 font-mono text-code leading-relaxed">
      {tokens(text.trimEnd()).map((token, index) => (token.is === "plain" ? token.text : <span key={index} className={token.text === "permit" ? "font-semibold text-good" : LOOKS[token.is]}>{token.text}</span>))}
    </pre>
  );
}

const STYLES: Record<Token["is"], string | null> = { comment: "comment", string: "string", effect: "controlKeyword", keyword: "keyword", annotation: "meta", entity: "typeName", number: "number", plain: null };

const LANGUAGE = StreamLanguage.define({
  name: "cedar",
  token(stream) {
    const token = nextToken(stream.string.slice(stream.pos));
    stream.pos += token.text.length;
    return STYLES[token.is];
  },
});

const COLOURS = HighlightStyle.define([
  { tag: tags.comment, color: "var(--faint)", fontStyle: "italic" },
  { tag: tags.string, color: "var(--good)" },
  { tag: tags.controlKeyword, color: "var(--bad)", fontWeight: "600" },
  { tag: tags.keyword, color: "var(--accent)" },
  { tag: tags.meta, color: "var(--warn)" },
  { tag: [tags.typeName, tags.number], color: "var(--busy)" },
]);

const LOOK = EditorView.theme({
  "&": { fontSize: "13px", backgroundColor: "var(--raised)", color: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--raised)", color: "var(--faint)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 8%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 25%, transparent) !important" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", minHeight: "12rem" },
});

/** To write a policy in. It keeps its text; `onType` is told of every change. */
export function CedarEditor({ text, onType }: { text: string; onType: (text: string) => void }) {
  const host = useRef<HTMLDivElement>(null);
  const typed = useRef(onType);
  typed.current = onType;
  useEffect(() => {
    const listener = EditorView.updateListener.of((update) => (update.docChanged ? typed.current(update.state.doc.toString()) : undefined));
    const label = EditorView.contentAttributes.of({ "aria-label": "The text of the policy", tabindex: "0" });
    // In a tree of its own: the content security policy forbids inline style in the document.
    const root = host.current!.shadowRoot ?? host.current!.attachShadow({ mode: "open" });
    const state = EditorState.create({ doc: text, extensions: [basicSetup, LANGUAGE, LOOK, syntaxHighlighting(COLOURS), EditorView.lineWrapping, listener, label] });
    const view = new EditorView({ parent: root, root, state });
    return () => view.destroy();
    // What is typed stays: the text is where it begins.
  }, []);
  return <div ref={host} data-editor className="overflow-hidden rounded-md border border-line" />;
}
