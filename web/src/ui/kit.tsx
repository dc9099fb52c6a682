// The few parts that every page is made of.

import { Link } from "@tanstack/react-router";
import { useEffect, useState, type ButtonHTMLAttributes, type ReactNode } from "react";

import { ApiError } from "../api/client";
import { useLink } from "../api/events";
import { ago, moment } from "../lib/format";
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

/** What is shown where there is nothing yet: what would be here, and how to make it. */
export function Empty({ title, children, code }: { title: string; children?: ReactNode; code?: string }) {
  return (
    <div className="px-6 py-10 text-center">
      <p className="font-medium">{title}</p>
      {children ? <div className="mx-auto mt-1 max-w-prose text-soft">{children}</div> : null}
      {code ? <pre className="mx-auto mt-4 inline-block rounded-md bg-sunken px-4 py-3 text-left font-mono text-[13px]">{code}</pre> : null}
    </div>
  );
}

export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof ApiError ? error.problem : null;
  return (
    <div role="alert" className="m-4 rounded-md border border-line bg-raised p-4">
      <p className="font-medium text-bad">
        ✕ {problem?.title ?? "Something went wrong"} {problem?.code ? <span className="font-mono">{problem.code}</span> : null}
      </p>
      <p className="mt-1">{problem?.detail ?? String(error)}</p>
      {problem?.hint ? <p className="mt-1 text-soft">{problem.hint}</p> : null}
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
  const [late, setLate] = useState(false);
  const away = useLink() === "lost";
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 600);
    return () => clearTimeout(timer);
  }, []);
  return (
    <p role="status" className="px-4 py-6 text-soft">
      {!late ? " " : away ? `The server does not answer; ${what} will be read when it is back.` : `Reading ${what}…`}
    </p>
  );
}

export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

export function Ago({ at }: { at: string }) {
  const now = useNow(5000);
  return (
    <time dateTime={at} title={moment(at)} className="whitespace-nowrap">
      {ago(at, now)}
    </time>
  );
}

export function RunLink({ name, children, row = false }: { name: string; children?: ReactNode; row?: boolean }) {
  return (
    <Link to="/runs/$run" params={{ run: name }} data-row={row || undefined} className="font-medium text-accent hover:underline">
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
        <span title={`stands for ${simulates}`} className="ml-1.5 rounded border border-line px-1 text-[11px] text-soft">
          simulated
        </span>
      ) : null}
    </span>
  );
}

export function Th({ children, right = false }: { children?: ReactNode; right?: boolean }) {
  return <th className={`px-4 py-2 font-medium text-soft ${right ? "text-right" : "text-left"}`}>{children}</th>;
}

export function Td({ children, right = false, className = "" }: { children?: ReactNode; right?: boolean; className?: string }) {
  return <td className={`px-4 py-2 ${right ? "whitespace-nowrap text-right" : ""} ${className}`}>{children}</td>;
}
