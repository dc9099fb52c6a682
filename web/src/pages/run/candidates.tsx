// Every site with its terms and its verdict for one action: as it was recorded with the decision, or as it would be.

import { bytes, money, seconds } from "../../lib/format";
import { Said, Td, Th } from "../../ui/kit";

/** A site as the placer judged it. Amounts are in millionths of the currency. */
export type Candidate = {
  site: string;
  verdict: string;
  why: string;
  compute_per_hour: number;
  egress: number;
  bytes_to_bring: number;
  simulated?: boolean;
  expected?: number;
  compute?: number;
  boot?: number;
  preemption?: number;
  repeats?: number;
  late?: number;
  p_late?: number;
  runs_s?: [number, number, number];
  wait_s?: number;
  transfer_s?: number;
  basis?: [string, number];
  lost_on?: [string, number];
  would?: string;
};

export type Explanation = { rule: string; sites: Candidate[]; instead_of?: string; tried?: number; bounds?: string };

const MICRO = 1e6;

const VERDICTS: Record<string, string> = {
  chosen: "● chosen",
  possible: "○ possible",
  awaited: "◌ worth waiting for",
  full: "◌ full",
  closed: "‖ closed",
  over_budget: "✕ over budget",
  unfit: "✕ unfit",
  refused: "✕ refused",
};

/** What was recorded, when it is an explanation with sites. */
export function explanationOf(placement: unknown): Explanation | null {
  if (typeof placement !== "object" || placement === null) return null;
  const { sites, rule } = placement as { rule?: unknown; sites?: unknown };
  if (!Array.isArray(sites)) return null;
  return { ...(placement as Explanation), rule: String(rule ?? ""), sites: sites as Candidate[] };
}

const TERMS = ["compute", "egress", "boot", "preemption", "repeats", "late"] as const;

/** What an expected cost is made of: the terms that are not nothing. */
export function termsOf(site: Candidate): string {
  const parts = TERMS.filter((term) => (site[term] ?? 0) > 0).map((term) => `${term === "late" ? "lateness" : term} ${money((site[term] ?? 0) / MICRO)}`);
  return parts.join(" + ");
}

/** Why a site was not the one, with what would have to change. */
export function whyNot(site: Candidate): string {
  const lost = site.lost_on ? `; ${site.lost_on[0]} costs ${money(site.lost_on[1] / MICRO)} more there` : "";
  const would = site.would ? `; it would be chosen with ${site.would}` : "";
  return `${site.why}${lost}${would}`;
}

type Props = { sites: Candidate[]; before?: Candidate[]; label: string };

/** The table. With `before` beside it, what differs from that is marked. */
export function Candidates({ sites, before, label }: Props) {
  const late = sites.some((site) => site.p_late !== undefined && site.p_late !== null);
  const was = new Map(before?.map((site) => [site.site, site]));
  return (
    <div className="@container overflow-x-auto rounded-md border border-line" role="region" aria-label={label} tabIndex={0}>
      <table className="w-full">
        <thead className="border-b border-line">
          <tr>
            <Th>Site</Th>
            <Th>Verdict</Th>
            <Th right>Expected cost</Th>
            <Th right>Takes</Th>
            <Th right>Waits</Th>
            {late ? <Th right>Late</Th> : null}
            <Th right>An hour</Th>
            <Th right>Egress</Th>
            <Th right>To bring</Th>
          </tr>
        </thead>
        {sites.map((site) => {
          const old = was.get(site.site);
          return (
            <tbody key={site.site} className="border-b border-line last:border-0">
              <tr className="align-top">
                <Td>
                  {site.site}
                  {site.simulated ? <span className="ml-1.5 rounded border border-line px-1 text-tiny text-soft">simulated</span> : null}
                </Td>
                <Td className={`whitespace-nowrap ${site.verdict === "chosen" ? "text-good" : ""}`}>
                  {VERDICTS[site.verdict] ?? site.verdict.replaceAll("_", " ")}
                  {old && old.verdict !== site.verdict ? <span className="block text-soft">before: {(VERDICTS[old.verdict] ?? old.verdict).slice(2)}</span> : null}
                </Td>
                <Td right>
                  {site.expected === undefined ? "" : money(site.expected / MICRO)}
                  {old?.expected !== undefined && old.expected !== site.expected ? <span className="block text-soft">before: {money(old.expected / MICRO)}</span> : null}
                  {termsOf(site) ? <span className="ml-auto block max-w-36 whitespace-normal text-small text-faint">{termsOf(site)}</span> : null}
                </Td>
                <Td right className="whitespace-nowrap">
                  {site.runs_s ? (
                    <span title={site.basis ? `from ${site.basis[1]} attempts: ${site.basis[0]}` : undefined}>
                      {seconds(site.runs_s[1])}
                      <span className="block text-small text-faint">
                        {seconds(site.runs_s[0])} to {seconds(site.runs_s[2])}
                      </span>
                    </span>
                  ) : (
                    <span className="text-faint">not known</span>
                  )}
                </Td>
                <Td right>{site.wait_s ? seconds(site.wait_s) : "–"}</Td>
                {late ? <Td right>{site.p_late === undefined || site.p_late === null ? "" : `${Math.round(site.p_late * 100)} %`}</Td> : null}
                <Td right>{money(site.compute_per_hour / MICRO)}</Td>
                <Td right>{money(site.egress / MICRO)}</Td>
                <Td right>{bytes(site.bytes_to_bring)}</Td>
              </tr>
              {/* The reason has a line of its own: beside the figures it would be cut where there is little room. */}
              <tr>
                <td colSpan={late ? 9 : 8} className="px-4 pb-2">
                  <span className="sticky left-4 block max-w-[min(68ch,calc(100cqw-2rem))] text-soft">
                    <Said text={whyNot(site)} />
                  </span>
                </td>
              </tr>
            </tbody>
          );
        })}
      </table>
    </div>
  );
}
