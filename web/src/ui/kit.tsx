// The few parts that every page is made of.

import { Link } from "@tanstack/react-router";
import { useEffect, useState, type ButtonHTMLAttributes, type ReactNode } from "react";

import { ApiError } from "../api/client";
import { useLink } from "../api/events";
import type { Example } from "../lib/examples";
import { useClock } from "../lib/clock";
import { ago, moment, stamp } from "../lib/format";
import { now } from "../lib/now";
import { lookOf, type Tone } from "../lib/phases";

const TONES: Record<Tone, string> = { good: "text-good", bad: "text-bad", warn: "text-warn", busy: "text-busy", idle: "text-idle" };

export function Phase({ phase, kind = "", waits, quiet = false }: { phase: string; kind?: string; waits?: string | null; quiet?: boolean }) {
  const { tone, glyph, words } = lookOf({ phase, kind, waits_for: waits });
  return (
    <span title={waits ? words : undefined} className={`inline-flex max-w-full items-center gap-1.5 whitespace-nowrap ${TONES[tone]}`}>
      <span aria-hidden className={tone === "busy" ? "is-live" : ""}>
        {glyph}
      </span>
      <span className={quiet ? "sr-only" : "truncate"}>{words}</span>
    </span>
  );
}

type ButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & { look?: "primary" | "plain" | "danger" };

export function Button({ look: kind = "plain", className = "", ...rest }: ButtonProps) {
  const looks = {
    primary: "bg-accent text-on-accent border-transparent hover:opacity-90",
    plain: "bg-raised border-line hover:bg-sunken",
    danger: "bg-raised border-line text-bad hover:bg-sunken",
  };
  return (
    <button
      type="button"
      className={`inline-flex min-h-8 items-center gap-2 rounded-md border px-3 py-1 font-medium disabled:opacity-50 ${looks[kind]} ${className}`}
      {...rest}
    />
  );
}

export function Card({ title, aside, children, className = "" }: { title?: ReactNode; aside?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={`rounded-lg border border-line bg-raised ${className}`}>
      {title ? (
        <header className="flex items-center justify-between gap-4 border-b border-line px-4 py-2.5">
          <h2 className="font-semibold">{title}</h2>
          {aside ? <div className="text-soft">{aside}</div> : null}
        </header>
      ) : null}
      {children}
    </section>
  );
}

export function PageHead({ title, children, above }: { title: ReactNode; children?: ReactNode; above?: ReactNode }) {
  return (
    <div className="mb-5 flex flex-wrap items-end justify-between gap-3">
      <div>
        {above ? <div className="mb-1 text-soft">{above}</div> : null}
        <h1 className="text-xl font-semibold">{title}</h1>
      </div>
      <div className="flex flex-wrap items-center gap-2">{children}</div>
    </div>
  );
}

/** What is shown where there is nothing yet: what would be here, and how to make it, in the browser or from a terminal. */
export function Empty({ title, children, code, example }: { title: string; children?: ReactNode; code?: string; example?: Example }) {
  const [copied, setCopied] = useState(false);
  const copy = () => void navigator.clipboard.writeText(code ?? "").then(() => setCopied(true));
  return (
    <div className="px-6 py-10 text-center">
      <p className="font-medium">{title}</p>
      {children ? <div className="mx-auto mt-1 max-w-prose text-soft">{children}</div> : null}
      {example ? (
        <Link to="/build" search={{ example }} className="mt-4 inline-flex min-h-8 items-center rounded-md border border-line bg-raised px-3 font-medium hover:bg-sunken">
          Begin with an example
        </Link>
      ) : null}
      {code ? (
        <div className="mx-auto mt-4 w-fit max-w-full text-left">
          <pre tabIndex={0} aria-label="To paste into a terminal" className="overflow-x-auto rounded-md bg-sunken px-4 py-3 font-mono text-code">
            {code}
          </pre>
          {/* Browsers keep the clipboard from pages of another machine without encryption. */}
          {window.isSecureContext ? (
            <button type="button" onClick={copy} className="mt-1 min-h-6 text-accent hover:underline">
              {copied ? "● copied" : "Copy"}
            </button>
          ) : null}
        </div>
      ) : null}
    </div>
  );
}

/** What the server says: names in it stand between backquotes. */
export function Said({ text }: { text: string }) {
  return text.split(/`([^`]+)`/).map((part, at) =>
    at % 2 === 0 ? (
      part
    ) : (
      <code key={at} className="font-mono text-code">
        {part}
      </code>
    ),
  );
}

export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof ApiError ? error.problem : null;
  return (
    <div role="alert" className="m-4 rounded-md border border-line bg-raised p-4">
      <p className="font-medium text-bad">
        ✕ {problem?.title ?? "Something went wrong"} {problem?.code ? <span className="font-mono">{problem.code}</span> : null}
      </p>
      <p className="mt-1">
        <Said text={problem?.detail ?? String(error)} />
      </p>
      {problem?.hint ? (
        <p className="mt-1 text-soft">
          <Said text={problem.hint} />
        </p>
      ) : null}
      {retry ? (
        <Button className="mt-3" onClick={retry}>
          Try again
        </Button>
      ) : null}
    </div>
  );
}

/** Holds the place of what is being read, and shows itself only when that takes a while. */
export function Loading({ what }: { what: string }) {
  const away = useLink() === "lost";
  return <Working what={away ? `The server does not answer; ${what} will be read when it is back` : `Reading ${what}`} className="px-4 py-6" />;
}

/** When work is said to be under way, and from when on for how long it has been. */
const SAID_MS = 600;
const COUNTED_MS = 1_000;

/** Work that is under way: what is done, and for how long by now. */
export function Working({ what, className = "" }: { what: string; className?: string }) {
  const [began] = useState(() => Date.now());
  const passed = usePassed(began);
  // The count is for eyes: readers of the screen are told once what is under way.
  return (
    <p className={`text-soft ${className}`}>
      <span role="status">{passed < SAID_MS ? " " : `${what}…`}</span>
      {passed < COUNTED_MS ? null : <span aria-hidden> {Math.floor(passed / 1000)} s</span>}
    </p>
  );
}

/** A clock that is looked at every so often. */
function useTime(clock: () => number, everyMs: number): number {
  const [time, setTime] = useState(clock);
  useEffect(() => {
    const timer = setInterval(() => setTime(clock()), everyMs);
    return () => clearInterval(timer);
  }, [clock, everyMs]);
  return time;
}

/** The time of the server, for what is compared with the times that it wrote. */
export const useNow = (everyMs = 1000) => useTime(now, everyMs);

/** How long it is since something began in this browser, in milliseconds. */
export const usePassed = (began: number) => useTime(Date.now, 200) - began;

export function Ago({ at }: { at: string }) {
  const time = useNow(5000);
  return (
    <time dateTime={at} title={moment(at)} className="whitespace-nowrap">
      {ago(at, time)}
    </time>
  );
}

/** A point in time as the reader wants it written; both ways in the tip. */
export function Stamp({ at, className = "" }: { at: string; className?: string }) {
  return (
    <time dateTime={at} title={moment(at)} className={`whitespace-nowrap ${className}`}>
      {stamp(at, useClock())}
    </time>
  );
}

/** Within a text a link is known by its line, not by its colour alone. */
export function RunLink({ name, children, row = false, inText = false }: { name: string; children?: ReactNode; row?: boolean; inText?: boolean }) {
  return (
    <Link to="/runs/$run" params={{ run: name }} data-row={row || undefined} className={`font-medium text-accent ${inText ? "underline" : "hover:underline"}`}>
      {children ?? name}
    </Link>
  );
}

export function SiteName({ name, simulates }: { name?: string | null; simulates?: string | null }) {
  if (!name) return <span className="text-faint">–</span>;
  return (
    <span className="whitespace-nowrap">
      {name}
      {simulates ? (
        <span title={`stands for ${simulates}`} className="ml-1.5 rounded border border-line px-1 text-tiny text-soft">
          simulated
        </span>
      ) : null}
    </span>
  );
}

export function Th({ children, right = false, className = "" }: { children?: ReactNode; right?: boolean; className?: string }) {
  // A column of buttons has no head.
  if (children === undefined) return <td className={className} />;
  return <th className={`px-4 py-2 font-medium text-soft ${right ? "text-right" : "text-left"} ${className}`}>{children}</th>;
}

export function Td({ children, right = false, className = "" }: { children?: ReactNode; right?: boolean; className?: string }) {
  return <td className={`px-4 py-2 ${right ? "whitespace-nowrap text-right" : ""} ${className}`}>{children}</td>;
}

/** Reads the next page of a list, when there is one. */
export function More({ pages, children }: { pages: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown }; children: ReactNode }) {
  if (!pages.hasNextPage) return null;
  return (
    <div className="border-t border-line p-3 text-center">
      <Button onClick={() => void pages.fetchNextPage()} disabled={pages.isFetchingNextPage}>
        {children}
      </Button>
    </div>
  );
}
