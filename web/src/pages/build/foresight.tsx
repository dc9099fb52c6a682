// What saving would change, and where the steps would run: both said by the server, of the text as it stands here.

import { useQuery } from "@tanstack/react-query";

import { diff, plan, type Beside, type PlannedNode } from "../../api/editing";
import { money, seconds } from "../../lib/format";
import { Empty, Failed, Loading, Said } from "../../ui/kit";
import { fieldText } from "./document";
import { besideKey } from "./past";

type Props = { text: string; beside: Beside; wrong: number; onChoose: (id: string) => void };

const topOf = (path: string) => path.split(/[/[]/)[0] ?? path;

/** Each node with the site that would take it. */
export function PlanPane({ text, beside, wrong, onChoose }: Props) {
  const planned = useQuery({ queryKey: ["sites", "plan", text, besideKey(beside)], queryFn: () => plan(text, beside), enabled: wrong === 0, placeholderData: (old) => old });
  if (wrong > 0) return <Empty title="The file has errors">A plan can be made when it checks.</Empty>;
  if (planned.error) return <Failed error={planned.error} />;
  if (!planned.data) return <Loading what="the plan" />;
  const known = planned.data.nodes.filter((node) => node.cost != null);
  const total = known.reduce((sum, node) => sum + (node.cost ?? 0), 0);
  return (
    <div className="p-4">
      <p className="mb-3 text-soft">
        Where each node would run if every open site were idle.{" "}
        {known.length > 0 ? `By what earlier runs took: about ${money(total)} for ${known.length} of ${planned.data.nodes.length} nodes.` : "Times and costs come with the first run."}
      </p>
      <ul className="divide-y divide-line rounded-md border border-line">
        {planned.data.nodes.map((node) => (
          <li key={node.path}>
            <button type="button" onClick={() => onChoose(topOf(node.path))} className="grid w-full grid-cols-[minmax(0,1fr)_auto] gap-x-3 px-3 py-2 text-left hover:bg-surface">
              <span className="truncate font-medium">{node.path}</span>
              <span className="text-right text-soft">{node.seconds != null ? `${seconds(node.seconds)}${node.cost != null ? `, ${money(node.cost)}` : ""}` : node.per_hour != null ? `${money(node.per_hour)} an hour` : ""}</span>
              <Where node={node} />
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function Where({ node }: { node: PlannedNode }) {
  if (node.verdict === "placed") {
    return (
      <span className="col-span-2 text-good">
        ● {node.site}
        {node.simulated ? <span className="ml-1.5 rounded border border-line px-1 text-tiny text-soft">simulated</span> : null}
      </span>
    );
  }
  if (node.verdict === "unplaced") return <span className="col-span-2 text-faint">needs no place</span>;
  const sites = (node.placement as { sites?: { site: string; why: string }[] } | null)?.sites ?? [];
  return (
    <span className="col-span-2 text-bad">
      ✕ {node.verdict === "refused" ? "a policy refuses every site" : "no site can take it"}
      {sites.map((site) => (
        <span key={site.site} className="block pl-4 text-soft">
          {site.site}: <Said text={site.why} />
        </span>
      ))}
    </span>
  );
}

const SIGNS: Record<string, [sign: string, look: string]> = { added: ["+", "text-good"], removed: ["−", "text-bad"], changed: ["~", "text-warn"] };

/** What differs in meaning from the saved version: layout and comments do not count. */
export function ChangesPane({ text, saved, beside, wrong, onChoose }: Props & { saved: string }) {
  const same = text === saved;
  const changes = useQuery({ queryKey: ["resources", "diff", text, saved], queryFn: () => diff(saved, text, beside), enabled: wrong === 0 && !same && saved !== "", placeholderData: (old) => old });
  if (saved === "") return <Empty title="Nothing is saved yet">Saving makes its first version.</Empty>;
  if (same) return <Empty title="Nothing is changed">The text is the saved one, byte for byte.</Empty>;
  if (wrong > 0) return <Empty title="The file has errors">Its meaning can be compared when it checks.</Empty>;
  if (changes.error) return <Failed error={changes.error} />;
  if (!changes.data) return <Loading what="the changes" />;
  if (changes.data.length === 0) return <Empty title="The meaning is the same">What changed is layout, comments or the order of keys.</Empty>;
  return (
    <ul className="divide-y divide-line p-4">
      {changes.data.map((change) => {
        const [sign, look] = SIGNS[change.change] ?? ["~", "text-warn"];
        const node = /^nodes\.([^.]+)/.exec(change.at)?.[1];
        return (
          <li key={`${change.change} ${change.at}`} className="py-2">
            <button type="button" disabled={!node} onClick={() => (node ? onChoose(node) : undefined)} className={`font-mono text-code ${look} enabled:hover:underline`}>
              {sign} {change.at}
            </button>
            {change.labels ? <span className="ml-2 rounded border border-warn px-1 text-tiny text-warn">labels</span> : null}
            <div className="mt-0.5 grid gap-0.5 font-mono text-small text-soft">
              {change.before != null ? <span className="line-through">{fieldText(change.before).slice(0, 400)}</span> : null}
              {change.after != null ? <span>{fieldText(change.after).slice(0, 400)}</span> : null}
            </div>
          </li>
        );
      })}
    </ul>
  );
}
