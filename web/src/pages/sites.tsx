// The places: what they are, what they have and hold, what they cost, and the orders that can be given to them.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";

import { get, post, segment } from "../api/client";
import { useQueues, useSites } from "../api/queries";
import type { HeldView, SiteQueueView, SiteView } from "../api/types";
import { applied, SITE } from "../lib/examples";
import { bytes, money } from "../lib/format";
import { Dialog } from "../ui/dialog";
import { Ago, Button, Card, Empty, Failed, Loading, PageHead, Phase, Said } from "../ui/kit";

export function SitesPage() {
  const sites = useSites();
  const queues = useQueues();
  return (
    <>
      <PageHead title="Sites">
        <Link to="/costs" search={{ hours: 1 }} className="inline-flex min-h-8 items-center rounded-md border border-line bg-raised px-3 font-medium hover:bg-sunken">
          What ran and what waited
        </Link>
      </PageHead>
      {sites.error ? (
        <Failed error={sites.error} retry={() => void sites.refetch()} />
      ) : sites.isPending ? (
        <Loading what="sites" />
      ) : sites.data.length === 0 ? (
        <Card>
          <Empty title="No site is registered" code={applied("sites.yaml", SITE)}>
            A site is a place where work runs: it has capacity, attributes, prices and a store of its own.
          </Empty>
        </Card>
      ) : (
        <div className="grid grid-cols-1 gap-4 md:grid-cols-2 xl:grid-cols-3">
          {queues.error ? <Failed error={queues.error} retry={() => void queues.refetch()} /> : null}
          {sites.data.map((site) => (
            <SiteCard key={site.name} site={site} queue={queues.data?.get(site.name)} />
          ))}
        </div>
      )}
    </>
  );
}

function SiteCard({ site, queue }: { site: SiteView; queue?: SiteQueueView }) {
  const queries = useQueryClient();
  const order = useMutation({
    mutationFn: (what: string) => post(`/api/v1/sites/${segment(site.name)}/${what}`),
    onSettled: () => queries.invalidateQueries({ queryKey: ["sites"] }),
  });
  const draining = useSearch({ from: "/sites", select: (search) => search.drain === site.name });
  const navigate = useNavigate({ from: "/sites" });
  const drain = (asked: boolean) => void navigate({ search: { drain: asked ? site.name : undefined }, replace: !asked });
  const tone = site.state === "open" ? "text-good" : site.state === "unhealthy" ? "text-bad" : "text-warn";
  const glyph = site.state === "open" ? "●" : site.state === "unhealthy" ? "✕" : "◌";
  return (
    <Card title={site.name} aside={<span className={tone}>{glyph} {site.state}</span>}>
      <div className="space-y-3 p-4">
        {site.simulates ? (
          <p className="rounded-md border border-dashed border-line px-3 py-2 text-soft">
            <strong className="font-semibold text-ink">Simulated.</strong> Processes of this machine stand for {site.simulates}.
          </p>
        ) : null}
        {site.reason ? <p className="text-bad">
            <Said text={site.reason} />
          </p> : null}
        <Meter name="Cores" used={site.used.cpu} all={site.capacity.cpu} write={(value) => value.toLocaleString()} />
        <Meter name="Memory" used={site.used.memory_bytes} all={site.capacity.memory_bytes} write={bytes} />
        {site.capacity.gpus > 0 ? <Meter name="Accelerators" used={site.used.gpus} all={site.capacity.gpus} write={String} /> : null}
        <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1">
          <dt className="text-soft">Holds</dt>
          <dd>
            {site.running.toLocaleString()} {site.running === 1 ? "action" : "actions"}
            <Held site={site} />
          </dd>
          <dt className="text-soft">Queue</dt>
          <dd>{queue ? <Queue queue={queue} /> : <span className="text-faint">…</span>}</dd>
          <dt className="text-soft">Price</dt>
          <dd>
            {money(site.cpu_hour)} a core hour · {money(site.memory_gib_hour)} a GiB hour · {money(site.egress_gb)} a GB out
          </dd>
          {Object.entries(site.attributes).map(([name, value]) => (
            <div key={name} className="contents">
              <dt className="text-soft">{name}</dt>
              <dd className="font-mono text-code">{value}</dd>
            </div>
          ))}
        </dl>
        <div className="flex gap-2 pt-1">
          {site.state === "open" || site.state === "unhealthy" ? (
            <Button onClick={() => order.mutate("cordon")} title="no new work; what runs goes on">
              Cordon
            </Button>
          ) : (
            <Button onClick={() => order.mutate("uncordon")}>Take work again</Button>
          )}
          {site.state === "drained" ? null : (
            <Button look="danger" onClick={() => drain(true)} aria-haspopup="dialog" title="no new work, and what runs moves elsewhere">
              Drain
            </Button>
          )}
        </div>
        {order.error ? <Failed error={order.error} /> : null}
        {draining ? (
          <Dialog title={`Drain ${site.name}?`} onClose={() => drain(false)}>
            <p className="mb-4">
              It takes no new work, and {site.running === 0 ? "nothing runs there now" : `the ${site.running.toLocaleString()} ${site.running === 1 ? "action that it holds is" : "actions that it holds are"} stopped and begun again elsewhere`}.
              It can take work again later.
            </p>
            <div className="flex justify-end gap-2">
              <Button onClick={() => drain(false)}>Leave it</Button>
              <Button
                look="danger"
                disabled={order.isPending}
                onClick={() => {
                  order.mutate("drain");
                  drain(false);
                }}
              >
                Drain it
              </Button>
            </div>
          </Dialog>
        ) : null}
      </div>
    </Card>
  );
}

/** Actions that a card names; one that holds more says how many. */
const HELD_SHOWN = 5;

/** What runs there and what is starting, each with the way to it. */
function Held({ site }: { site: SiteView }) {
  const held = useQuery({
    enabled: site.running > 0,
    queryKey: ["sites", "held", site.name],
    queryFn: ({ signal }) => get<HeldView[]>(`/api/v1/sites/${segment(site.name)}/actions?limit=${HELD_SHOWN}`, signal),
    placeholderData: (old) => old,
  }).data;
  if (site.running === 0 || !held || held.length === 0) return null;
  return (
    <ul aria-label={`What runs at ${site.name}`} className="mt-1 space-y-0.5">
      {held.map((action) => (
        <li key={`${action.run} ${action.path}`} className="flex flex-wrap items-baseline gap-x-2">
          <Phase phase={action.phase} kind={action.kind} quiet />
          <Link to="/runs/$run" params={{ run: action.run }} search={{ action: action.path }} className="inline-block min-h-7 min-w-0 break-all text-accent hover:underline">
            {action.path} <span className="text-soft">of {action.run}</span>
          </Link>
          <span className="text-faint">
            <Ago at={action.since} />
          </span>
        </li>
      ))}
      {site.running > held.length ? <li className="text-soft">and {(site.running - held.length).toLocaleString()} more</li> : null}
    </ul>
  );
}

/** What waits for it: how much, for how long, what, and why. */
function Queue({ queue }: { queue: SiteQueueView }) {
  if (queue.waiting === 0) return <>nothing waits{queue.cut ? " among what was looked at" : ""}</>;
  const named = queue.items.reduce((sum, item) => sum + item.actions, 0);
  return (
    <>
      {queue.waiting.toLocaleString()} {queue.waiting === 1 ? "action" : "actions"}
      {queue.cut ? " or more" : ""}
      {queue.since ? (
        <span className="text-soft">
          , the first since <Ago at={queue.since} />
        </span>
      ) : null}
      <ul aria-label={`What waits for ${queue.site}`} className="mt-1 space-y-1">
        {queue.items.map((item) => (
          <li key={`${item.run} ${item.path} ${item.why}`} className="min-w-0 break-words">
            <span aria-hidden className="text-warn">
              ◌
            </span>{" "}
            <Link to="/runs/$run" params={{ run: item.run }} search={{ action: item.path }} className="inline-block min-h-7 break-all text-accent hover:underline">
              {item.path} <span className="text-soft">of {item.run}</span>
            </Link>
            {item.actions > 1 ? <span className="text-soft"> and {(item.actions - 1).toLocaleString()} like it</span> : null}{" "}
            <span className="text-faint">
              <Ago at={item.since} />
            </span>
            <span className="block text-soft">
              waits for <Said text={item.why} />
              {(item.or_at ?? []).length > 0 ? `; could go to ${item.or_at!.join(", ")} too` : ""}
            </span>
          </li>
        ))}
        {queue.waiting > named ? <li className="text-soft">and {(queue.waiting - named).toLocaleString()} more</li> : null}
      </ul>
    </>
  );
}

function Meter({ name, used, all, write }: { name: string; used: number; all: number; write: (value: number) => string }) {
  return (
    <div>
      <div className="flex justify-between">
        <span className="text-soft">{name}</span>
        <span>
          {write(used)} of {write(all)}
        </span>
      </div>
      <div role="meter" aria-label={`${name} in use`} aria-valuemin={0} aria-valuemax={all} aria-valuenow={used} className="mt-1 h-1.5 overflow-hidden rounded-full bg-sunken">
        <div className="h-full rounded-full bg-busy" style={{ width: `${all > 0 ? Math.min(100, (100 * used) / all) : 0}%` }} />
      </div>
    </div>
  );
}
