// A token that is missing or worth nothing any more is asked for where one is: the page stays, and goes on with the new one.

import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useState, useSyncExternalStore } from "react";

import { ApiError, get, setToken, token } from "./api/client";
import type { MeView } from "./api/types";
import { forgetPerson, notePerson } from "./lib/person";
import { Dialog } from "./ui/dialog";
import { Button } from "./ui/kit";

let wanted = false;
const watchers = new Set<() => void>();

function want(next: boolean) {
  if (next === wanted) return;
  wanted = next;
  watchers.forEach((tell) => tell());
}

/** Who waits for the answer: whether a token was given. */
const waiting = new Set<(given: boolean) => void>();

function answer(given: boolean) {
  want(false);
  const told = [...waiting];
  waiting.clear();
  told.forEach((tell) => tell(given));
}

/** Does something that needs a token. When the token has ended another is asked for, and it is done again with that one. */
export async function withToken<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ApiError && error.wantsToken)) throw error;
      want(true);
      if (!(await new Promise<boolean>((tell) => waiting.add(tell)))) throw error;
    }
  }
}

/** Uses another token, or none. What another person was shown and wrote is taken away; one who signs in again goes on where they were. */
export async function changeToken(queries: QueryClient, value: string | null) {
  setToken(value);
  if (value === null) forgetPerson();
  const me = await get<MeView>("/api/v1/me").catch(() => undefined);
  const other = me !== undefined && notePerson(me.name);
  if (value === null || other) await queries.resetQueries();
  else await queries.invalidateQueries();
}

/** Called with every error of a query or an order. */
export function noteError(error: unknown) {
  if (error instanceof ApiError && error.wantsToken) want(true);
}

export function SignIn() {
  const queries = useQueryClient();
  const shown = useSyncExternalStore(
    (tell) => {
      watchers.add(tell);
      return () => watchers.delete(tell);
    },
    () => wanted,
  );
  const [value, setValue] = useState("");
  if (!shown) return null;
  return (
    <Dialog title={token() ? "Your token is not known any more" : "This server wants a token"} onClose={() => answer(false)}>
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          const changed = changeToken(queries, value.trim());
          setValue("");
          answer(true);
          void changed;
        }}
      >
        <p className="text-soft">The page you are on goes on with the new one. An administrator makes tokens; yours is kept in this tab only.</p>
        <label className="block">
          <span className="mb-1 block text-soft">Token</span>
          <input autoFocus type="password" autoComplete="off" value={value} onChange={(event) => setValue(event.target.value)} className="w-full rounded-md border border-edge bg-surface px-3 py-1.5 font-mono" />
        </label>
        <Button look="primary" type="submit" disabled={!value.trim()}>
          Go on
        </Button>
      </form>
    </Dialog>
  );
}
