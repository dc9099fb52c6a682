// The way to a file: a link, or a button where a link would not do.

import { useMutation } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { token } from "../api/client";
import { save } from "../lib/save";
import { Working } from "./kit";

type Props = {
  from: string;
  as: string;
  title?: string;
  className?: string;
  /** Whether it is fetched in any case: what anybody may have made is no address to go to. */
  fetched?: boolean;
  children: ReactNode;
};

/** Saves what lies at an address. Without a token the browser fetches it as it comes; a link has no token, so that with one it is fetched first. */
export function Save({ from, as, title, className, fetched = false, children }: Props) {
  const saved = useMutation({ mutationFn: () => save(from, as) });
  if (token() === null && !fetched) {
    return (
      <a href={from} download={as} title={title} className={className}>
        {children}
      </a>
    );
  }
  return (
    <>
      <button type="button" title={title} className={className} disabled={saved.isPending} onClick={() => saved.mutate()}>
        {children}
      </button>
      {saved.isPending ? <Working what={`Fetching ${as}`} /> : null}
      {saved.error ? (
        <span role="alert" className="text-bad">
          ✕ {saved.error.message}
        </span>
      ) : null}
    </>
  );
}
