// The node and the pane that the builder shows, in its address: they can be sent to somebody, and the way back leads through them.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef } from "react";

type Looking<P extends string> = { chosen: string | undefined; choose: (node: string | undefined) => void; pane: P; setPane: (pane: P) => void };

/** Keeps what is looked at and the address the same, whichever of the two changes. */
export function useLooking<P extends string>({ chosen, choose, pane, setPane }: Looking<P>, panes: readonly P[]) {
  const search = useSearch({ from: "/build" });
  const navigate = useNavigate({ from: "/build" });
  // The pane that is shown when the address names none.
  const first = useRef(pane).current;
  const asked = panes.find((known) => known === search.pane) ?? (search.node !== undefined ? (panes.find((known) => known === "form") ?? first) : first);
  const [local, outer] = [JSON.stringify([chosen ?? null, pane]), JSON.stringify([search.node ?? null, asked])];
  const seen = useRef(JSON.stringify([null, first]));
  useEffect(() => {
    if (outer === seen.current) return;
    seen.current = outer;
    choose(search.node);
    setPane(asked);
  }, [outer]);
  const begun = useRef(false);
  useEffect(() => {
    // What stands in the address at first is taken from there before anything is written to it.
    if (!begun.current) begun.current = true;
    else if (local !== seen.current) {
      seen.current = local;
      void navigate({ search: (old) => ({ ...old, node: chosen, pane: chosen === undefined && pane === first ? undefined : pane }) });
    }
  }, [local]);
}

/** The dialogs of the builder, in its address: the test of the chosen node, and the wire that is being drawn. */
export function useDialogs() {
  const { test, draw } = useSearch({ from: "/build" });
  const navigate = useNavigate({ from: "/build" });
  return {
    testing: test === true,
    setTesting: (open: boolean) => void navigate({ search: (old) => ({ ...old, test: open || undefined }), replace: !open }),
    drawing: draw,
    draw: (ends: [from: string, to: string] | undefined) => void navigate({ search: (old) => ({ ...old, draw: ends }), replace: ends === undefined }),
  };
}
