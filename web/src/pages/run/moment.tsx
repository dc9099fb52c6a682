// The moment of a run that is looked at: now, or any since it began. Everything on the page is as it was then.

import { useNavigate, useSearch } from "@tanstack/react-router";

import type { RunView } from "../../api/types";
import { useSettled } from "../../lib/address";
import { moment, seconds } from "../../lib/format";
import { Button } from "../../ui/kit";

/** Where the slider stands at its end. */
const STEPS = 1000;

/** From when to when a run goes, in milliseconds. */
export function spanOf(run: RunView, now: number): [number, number] {
  const first = Date.parse(run.submitted_at);
  const last = run.finished_at ? Date.parse(run.finished_at) : now;
  return [first, Math.max(last, first + 1)];
}

/** The moment under the finger, which goes to the address when it rests. */
export function useMoment(): [number | undefined, (at: number | undefined) => void] {
  const { at } = useSearch({ from: "/runs/$run" });
  const navigate = useNavigate({ from: "/runs/$run" });
  return useSettled(at, (next) => void navigate({ search: (old) => ({ ...old, at: next }), replace: true }));
}

type Props = { span: [number, number]; at: number | undefined; onAt: (at: number | undefined) => void; live: boolean; reading: boolean };

export function Scrubber({ span: [first, last], at, onAt, live, reading }: Props) {
  const share = at === undefined ? STEPS : Math.min(STEPS, Math.max(0, Math.round(((at - first) / (last - first)) * STEPS)));
  return (
    <div className="flex flex-wrap items-center gap-3 border-t border-line px-4 py-2 text-soft">
      <label className="flex min-w-72 flex-1 items-center gap-3">
        <span>Moment</span>
        <input
          type="range"
          min={0}
          max={STEPS}
          value={share}
          onChange={(event) => {
            const next = Number(event.target.value) / STEPS;
            onAt(next >= 1 ? undefined : first + next * (last - first));
          }}
          aria-valuetext={at === undefined ? (live ? "now" : "the end") : moment(new Date(at).toISOString())}
          className="flex-1 accent-accent"
        />
      </label>
      <span role="status" className="w-44 tabular-nums">
        {at === undefined ? (live ? "as it is now" : "as it ended") : `as it was at ${seconds(Math.max(0, at - first) / 1000)}`}
        {reading ? <span aria-hidden> …</span> : null}
      </span>
      <Button onClick={() => onAt(undefined)} aria-disabled={at === undefined} className={at === undefined ? "opacity-50" : ""}>
        {live ? "Now" : "The end"}
      </Button>
    </div>
  );
}
