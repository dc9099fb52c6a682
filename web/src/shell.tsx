// What stands around every page: where one is, what waits, whether the server is there.

import { useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useRef, useState } from "react";

import { useLink, useLiveUpdates } from "./api/events";
import { useMe, useWaiting } from "./api/queries";
import { useWork } from "./api/work";
import { KeyMap } from "./keymap";
import { isWriting, PLACES } from "./lib/keys";
import { notePerson, useOtherPerson } from "./lib/person";
import { Palette } from "./palette";
import { noteError, SignIn } from "./signin";
import { Button, Empty, PageHead, usePassed } from "./ui/kit";

/** `g` and a letter go to a place, as the palette lists them. */
function useGoKeys(openPalette: () => void, openMap: () => void) {
  const navigate = useNavigate();
  const armed = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key === "k") {
        event.preventDefault();
        openPalette();
        return;
      }
      if (event.metaKey || event.ctrlKey || event.altKey || isWriting(event) || document.querySelector("dialog[open]")) return;
      if (event.key === "/") {
        event.preventDefault();
        openPalette();
      } else if (event.key === "?") {
        openMap();
      } else if (event.key === "g") {
        armed.current = Date.now();
      } else if (Date.now() - armed.current < 1_000) {
        armed.current = 0;
        const place = PLACES.find((known) => known.key === event.key);
        if (place) {
          // The page that is left may know the same letter.
          event.stopImmediatePropagation();
          void navigate({ to: place.to });
        }
      }
    };
    window.addEventListener("keydown", onKey, true);
    return () => window.removeEventListener("keydown", onKey, true);
  }, [navigate, openPalette, openMap]);
}

export function Shell() {
  const [palette, setPalette] = useState(false);
  const queries = useQueryClient();
  useLiveUpdates(noteError);
  const map = useSearch({ strict: false, select: (search) => search.keys === true });
  const navigate = useNavigate();
  const showMap = useCallback((shown: boolean) => void navigate({ to: ".", search: (old) => ({ ...old, keys: shown || undefined }), replace: !shown }), [navigate]);
  const openMap = useCallback(() => showMap(true), [showMap]);
  useGoKeys(useCallback(() => setPalette(true), []), openMap);
  // The builder takes all the room there is.
  const wide = useLocation({ select: (location) => location.pathname === "/build" });
  const waiting = useWaiting().data ?? 0;
  // Who looks is known on every page: what they were shown is taken away when another signs in.
  const who = useMe().data?.name;
  useEffect(() => void (who !== undefined && notePerson(who) ? queries.resetQueries() : undefined), [who, queries]);
  const other = useOtherPerson();
  return (
    <div className="min-h-screen">
      <a href="#main" className="sr-only focus:not-sr-only focus:absolute focus:left-3 focus:top-3 focus:z-50 focus:bg-raised focus:px-3 focus:py-2">
        Skip to the page
      </a>
      <header className="sticky top-0 z-20 border-b border-line bg-raised">
        <div className="mx-auto flex max-w-[1600px] flex-wrap items-center gap-x-2 px-5 py-1.5 lg:h-13 lg:flex-nowrap lg:py-0 xl:gap-4">
          <Link to="/" className="mr-1 flex shrink-0 items-center gap-2 font-semibold tracking-tight">
            <img src="/favicon.svg" alt="" className="size-6" /> Tutti
          </Link>
          <nav aria-label="Main" className="order-last flex w-full min-w-0 gap-1 overflow-x-auto max-lg:pt-1 lg:order-none lg:w-auto">
            {PLACES.map((place) => (
              <Link
                key={place.to}
                to={place.to}
                activeOptions={{ exact: place.to === "/" }}
                activeProps={{ className: "bg-sunken text-ink", "aria-current": "page" }}
                className="whitespace-nowrap rounded-md px-1.5 py-1.5 text-soft hover:text-ink xl:px-2.5"
              >
                {place.words}
                {place.to === "/inbox" && waiting > 0 ? (
                  <span className="ml-1.5 rounded-full bg-accent px-1.5 text-tiny font-semibold text-on-accent" aria-label={`${waiting.toLocaleString()} waiting`}>
                    {waiting.toLocaleString()}
                  </span>
                ) : null}
              </Link>
            ))}
          </nav>
          <div className="ml-auto flex shrink-0 items-center gap-2 xl:gap-3">
            <UnderWay />
            <LinkState />
            <button type="button" onClick={() => setPalette(true)} className="rounded-md border border-line px-2.5 py-1 text-soft hover:text-ink">
              Search <kbd className="ml-2 hidden font-mono text-tiny xl:inline">Ctrl K</kbd>
            </button>
            <button type="button" onClick={openMap} aria-label="Keys" title="Keys (?)" className="size-7 rounded-md border border-line text-soft hover:text-ink">
              ?
            </button>
            <Link to="/settings" className="text-soft hover:text-ink">
              Settings
            </Link>
          </div>
        </div>
      </header>
      <main id="main" className={`mx-auto px-5 py-6 ${wide ? "" : "max-w-[1600px]"}`}>
        <Outlet key={other} />
      </main>
      <SignIn />
      <Palette open={palette} onOpenChange={setPalette} />
      {map ? <KeyMap onClose={() => showMap(false)} /> : null}
    </div>
  );
}

/** Work that has been under way for longer than this is said to be. */
const SAID_MS = 600;

/** What the server is asked for and takes its time, with for how long by now. */
function UnderWay() {
  const work = useWork();
  return work ? <Since key={work.since} since={work.since} what={work.writes ? "Working" : "Reading"} /> : null;
}

function Since({ since, what }: { since: number; what: string }) {
  const passed = usePassed(since);
  if (passed < SAID_MS) return null;
  const took = `${Math.floor(passed / 1000)} s`;
  return (
    <span role="progressbar" aria-label={what} aria-valuetext={took} className="whitespace-nowrap tabular-nums text-soft">
      {what}… {took}
    </span>
  );
}

function LinkState() {
  const link = useLink();
  if (link === "live") return <span className="text-good" title="changes are shown as they happen">● live</span>;
  if (link === "refused") return <span role="status" className="text-warn" title="whoever signs in next may be told">◌ the server tells you no news</span>;
  return (
    <span role="status" className="text-warn" title="this page goes on by itself when the server is back">
      ◌ {link === "lost" ? "the server does not answer" : "connecting"}
    </span>
  );
}

/** What is shown in place of a page that broke: a mistake of ours, or a part of the page that the server has no more after it was upgraded. */
export function Broken({ error }: { error: unknown }) {
  return (
    <>
      <PageHead title="This page broke" />
      <div role="alert" className="rounded-lg border border-line bg-raised p-4">
        <p className="font-medium text-bad">✕ {error instanceof Error ? error.message : String(error)}</p>
        <p className="mt-1 text-soft">Read it anew: it may be of an older version than the server. What was drawn or written in the builder is kept as a draft. If it breaks again, tell whoever runs this server what stands here.</p>
        <div className="mt-3 flex gap-2">
          <Button look="primary" onClick={() => window.location.reload()}>
            Read it anew
          </Button>
        </div>
      </div>
    </>
  );
}

export function NotFound() {
  return (
    <>
      <PageHead title="There is no such page" />
      <Empty title="The address leads nowhere">
        <Link to="/" className="text-accent hover:underline">
          Home
        </Link>
      </Empty>
    </>
  );
}
