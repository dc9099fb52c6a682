// Saving a file as the next version of a workflow, and the keys of the builder.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, type RefObject } from "react";

import { ApiError, post } from "../../api/client";
import { source, type Beside, type Source } from "../../api/editing";

export type BuilderKeys = { undo: () => void; redo: () => void; save: () => void; text: () => void };

export function useBuilderKeys(keys: RefObject<BuilderKeys>, save: () => void) {
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

const refusal = (title: string, detail: string, hint?: string) => new ApiError({ type: "about:blank", title, status: 409, code: "", detail, hint });

/** The version of a workflow that is there; none when there is no such workflow. */
async function versionOf(name: string): Promise<number | null> {
  try {
    return (await source(name)).version;
  } catch (error) {
    if (error instanceof ApiError && error.problem.status === 404) return null;
    throw error;
  }
}

/** What was saved: the text, the version that it is, and the files that went with it. */
type Saved = { text: string; version: number; name: string; files: Record<string, string> };

/** Saves a text as the next version of the workflow that it names. What somebody else saved meanwhile is not written over. */
export function useSave({ workflow, files = {} }: Beside, version: number, done: (saved: Saved) => void) {
  const queries = useQueryClient();
  const navigate = useNavigate({ from: "/build" });
  return useMutation({
    mutationFn: async ({ text, name }: { text: string; name: string }) => {
      const there = await versionOf(name);
      if (name === workflow && there !== null && there > version) {
        await queries.invalidateQueries({ queryKey: ["resources", "source", workflow] });
        throw refusal("Somebody saved it meanwhile", `version ${there} is newer than yours, which began at ${version}`);
      }
      if (name !== workflow && there !== null) throw refusal("That name is taken", `there is a workflow ${name} already, at version ${there}`, "give yours another name, or open that one");
      const path = `${(workflow ?? "new").split("/").at(-1)}.workflow.yaml`;
      try {
        return { text, files, answer: await post<Applied>("/api/v1/apply", { documents: [{ path, text }], files, beside: workflow, expects: { [`workflow ${name}`]: there ?? 0 } }) };
      } catch (error) {
        // Somebody was faster by a moment: what they saved is shown beside this.
        if (error instanceof ApiError && error.problem.status === 409) await queries.invalidateQueries({ queryKey: ["resources", "source", workflow] });
        throw error;
      }
    },
    // Files that were added while it was saved are not among those that were sent.
    onSuccess: ({ text, files, answer }) => {
      const made = answer.applied.find((applied) => applied.kind === "workflow");
      // What was saved is known: the page does not wait for it to be read again.
      if (made) queries.setQueryData<Source>(["resources", "source", made.name], (old) => ({ text, version: made.version, files: [...new Set([...(old?.files ?? []), ...Object.keys(files)])] }));
      void queries.invalidateQueries({ queryKey: ["resources"] });
      if (!made) return;
      done({ text, version: made.version, name: made.name, files });
      if (made.name !== workflow) void navigate({ search: (old) => ({ ...old, workflow: made.name }), replace: true });
    },
  });
}
