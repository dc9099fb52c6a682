// What was spent, what is to come, and how busy the sites were: pictures over time. What is looked at stands in the address.

import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { get } from "../api/client";
import type { CostView, DemandView, LoadView } from "../api/types";
import { costByDay, demandAhead, stacked, stepsFrom, type CostBy } from "../lib/charts";
import { money } from "../lib/format";
import { now } from "../lib/now";
import { Card, Empty, Failed, Loading, PageHead } from "../ui/kit";
import { Chart } from "../ui/chart";

/** Pictures are drawn anew this often. */
const FRESH_MS = 30_000;
const STEPS = 120;
/** Hours that have to be looked back on for a forecast to say anything. */
const HOURS_LEAST = 3;
const FIELD = "min-h-8 rounded-md border border-line bg-raised px-2";

const BY: readonly CostBy[] = ["project", "workflow", "site"];
const DAYS: readonly number[] = [7, 30, 90, 365];
const HOURS: readonly number[] = [1, 6, 24, 168];

export function CostsPage() {
  return (
    <>
      <PageHead title="Costs and load" />
      <div className="space-y-4">
        <Spent />
        <Demand />
        <Busy />
      </div>
    </>
  );
}

type Choice<T extends string | number> = { name: string; value: T; of: readonly T[]; write: (value: T) => string; onChange: (next: T) => void };

function Choose<T extends string | number>({ name, value, of, write, onChange }: Choice<T>) {
  return (
    <label className="flex items-center gap-2 text-soft">
      {name}
      <select className={FIELD} value={String(value)} onChange={(event) => onChange(of.find((known) => String(known) === event.target.value) ?? value)}>
        {of.map((known) => (
          <option key={known} value={String(known)}>
            {write(known)}
          </option>
        ))}
      </select>
    </label>
  );
}

function Part({ title, aside, children }: { title: string; aside: ReactNode; children: ReactNode }) {
  return (
    <Card title={title} aside={<div className="flex flex-wrap items-center justify-end gap-3">{aside}</div>}>
      <div className="p-4">{children}</div>
    </Card>
  );
}

const spanWords = (hours: number) => (hours < 24 ? `${hours} h` : hours === 24 ? "a day" : `${hours / 24} days`);

function Spent() {
  const { by = "project", days = 30 } = useSearch({ from: "/costs" });
  const navigate = useNavigate({ from: "/costs" });
  const costs = useQuery({ queryKey: ["costs", days], queryFn: ({ signal }) => get<CostView[]>(`/api/v1/costs?days=${days}`, signal), refetchInterval: FRESH_MS, placeholderData: (old) => old });
  const aside = (
    <>
      <Choose name="By" value={by} of={BY} write={String} onChange={(next) => void navigate({ search: (old) => ({ ...old, by: next }) })} />
      <Choose name="Over" value={days} of={DAYS} write={(known) => `${known} days`} onChange={(next) => void navigate({ search: (old) => ({ ...old, days: next }) })} />
    </>
  );
  return (
    <Part title="Spent, day by day" aside={aside}>
      {costs.error ? <Failed error={costs.error} retry={() => void costs.refetch()} /> : costs.isPending ? <Loading what="costs" /> : <SpentChart rows={costs.data} by={by} days={days} />}
    </Part>
  );
}

function SpentChart({ rows, by, days }: { rows: CostView[]; by: CostBy; days: number }) {
  const { at, series } = costByDay(rows, by, days, now());
  if (series.length === 0) return <Empty title="Nothing was spent in this time">Actions cost what their sites charge; a site without prices costs nothing.</Empty>;
  const total = series.reduce((all, { values }) => all + values.reduce((sum, value) => sum + value, 0), 0);
  const egress = rows.filter((row) => row.kind === "egress").reduce((sum, row) => sum + row.cost, 0);
  const tops = stacked(series);
  // The highest is drawn first, so that those below it are seen before it.
  const lines = series.map(({ name, values }, index) => ({ name, values: tops[index]!.values, told: values, colour: index, look: "bar" as const })).reverse();
  return (
    <>
      <p className="mb-2">
        {money(total)} in {days} days{egress > 0 ? `, ${money(egress)} of it for data that left a site` : ""}.
      </p>
      <Chart label={`Spent by day and ${by}`} at={at} lines={lines} write={money} daily />
    </>
  );
}

function Demand() {
  const { of, ahead = 24 } = useSearch({ from: "/costs" });
  const navigate = useNavigate({ from: "/costs" });
  const demand = useQuery({ queryKey: ["forecast", ahead], queryFn: ({ signal }) => get<DemandView[]>(`/api/v1/forecast?hours=${ahead}`, signal), refetchInterval: 4 * FRESH_MS, placeholderData: (old) => old });
  const all = demand.data ?? [];
  const names = all.map((one) => `${one.project} at ${one.site}`);
  const chosen = all[Math.max(0, names.indexOf(of ?? ""))];
  const aside = (
    <>
      {names.length > 1 ? <Choose name="Of" value={names[Math.max(0, names.indexOf(of ?? ""))]!} of={names} write={String} onChange={(next) => void navigate({ search: (old) => ({ ...old, of: next }) })} /> : null}
      <Choose name="Ahead" value={ahead} of={HOURS} write={spanWords} onChange={(next) => void navigate({ search: (old) => ({ ...old, ahead: next }) })} />
    </>
  );
  return (
    <Part title="Demand to come" aside={aside}>
      {demand.error ? (
        <Failed error={demand.error} retry={() => void demand.refetch()} />
      ) : demand.isPending ? (
        <Loading what="the forecast" />
      ) : chosen === undefined || chosen.hours_seen < HOURS_LEAST ? (
        <Empty title="Too little is known of demand yet">A forecast is made from what ran in the last weeks, hour by hour; it needs {HOURS_LEAST} hours at least, and is good after two weeks.</Empty>
      ) : (
        <DemandChart demand={chosen} />
      )}
    </Part>
  );
}

function DemandChart({ demand }: { demand: DemandView }) {
  const { at, low, mid, high } = demandAhead(demand, now());
  const held = demand.judged > 0 ? ` So far ${Math.round(demand.coverage * 100)} of 100 hours fell between what had been said of them (${demand.judged} were judged).` : " No hour was judged yet.";
  return (
    <>
      <p className="mb-2 text-soft">
        Core-hours an hour, from {demand.hours_seen} hours that were looked back on. Nine of ten hours are expected in the band.{held}
      </p>
      <Chart
        label={`Demand to come of ${demand.project} at ${demand.site}`}
        at={at}
        lines={[
          { name: "95 of 100 below", values: high, colour: "busy", look: "edge" },
          { name: "expected", values: mid, colour: "busy", look: "line" },
          { name: "5 of 100 below", values: low, colour: "busy", look: "edge" },
        ]}
        band={[0, 2]}
        write={(value) => value.toLocaleString(undefined, { maximumFractionDigits: 3 })}
      />
    </>
  );
}

function Busy() {
  const { hours = 24 } = useSearch({ from: "/costs" });
  const navigate = useNavigate({ from: "/costs" });
  const load = useQuery({ queryKey: ["load", hours], queryFn: ({ signal }) => get<LoadView>(`/api/v1/sites/load?hours=${hours}&steps=${STEPS}`, signal), refetchInterval: FRESH_MS, placeholderData: (old) => old });
  const aside = <Choose name="Over" value={hours} of={HOURS} write={spanWords} onChange={(next) => void navigate({ search: (old) => ({ ...old, hours: next }) })} />;
  return (
    <Part title="Sites over time" aside={aside}>
      {load.error ? (
        <Failed error={load.error} retry={() => void load.refetch()} />
      ) : load.isPending ? (
        <Loading what="the load of sites" />
      ) : load.data.sites.length === 0 ? (
        <Empty title="Nothing ran in this time">What runs and what waits shows here, site by site.</Empty>
      ) : (
        <>
          <p className="mb-3 text-soft">
            On average over steps of {Math.round(load.data.step_s / 6) / 10} minutes. Cores in use are those that were measured of actions that have ended.
            {load.data.cut ? " There were more actions than are looked at: those of the earliest runs are missing." : ""}
          </p>
          <div className="grid grid-cols-1 gap-6 xl:grid-cols-2">
            {load.data.sites.map((site) => (
              <section key={site.site} aria-label={site.site || "without a place"}>
                <h3 className="mb-1 font-semibold">
                  {site.site || "Without a place yet"}
                  {site.capacity_cores > 0 ? <span className="ml-2 font-normal text-soft">{site.capacity_cores} cores</span> : null}
                </h3>
                <Chart
                  label={`Load of ${site.site || "what has no place"}`}
                  at={stepsFrom(load.data.from, load.data.step_s, site.running.length)}
                  lines={
                    site.site
                      ? [
                          { name: "run", values: site.running, colour: "busy", look: "area" },
                          { name: "wait to begin", values: site.waiting, colour: "warn", look: "line" },
                          { name: "cores in use", values: site.cores, colour: "good", look: "line" },
                        ]
                      : [{ name: "wait for a place", values: site.waiting, colour: "warn", look: "area" }]
                  }
                  write={(value) => value.toLocaleString(undefined, { maximumFractionDigits: 2 })}
                  height={180}
                />
              </section>
            ))}
          </div>
        </>
      )}
    </Part>
  );
}
