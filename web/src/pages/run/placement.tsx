// Why an action is where it is: every site with its terms and its verdict, as recorded with the decision.

import { useExplanation } from "../../api/queries";
import { bytes } from "../../lib/format";
import { Failed, Loading, Td, Th } from "../../ui/kit";

type Candidate = {
  site: string;
  verdict: string;
  why: string;
  compute_per_hour: number;
  egress: number;
  bytes_to_bring: number;
  simulated?: boolean;
};

/** Amounts in a recorded explanation are in millionths of the currency. */
const MICRO = 1e6;

const VERDICTS: Record<string, string> = {
  chosen: "● chosen",
  possible: "○ possible",
  full: "◌ full",
  closed: "‖ closed",
  unfit: "✕ unfit",
  refused: "✕ refused",
};

function candidates(placement: unknown): { rule: string; sites: Candidate[] } | null {
  if (typeof placement !== "object" || placement === null) return null;
  const { rule, sites } = placement as { rule?: unknown; sites?: unknown };
  return Array.isArray(sites) ? { rule: String(rule ?? ""), sites: sites as Candidate[] } : null;
}

export function Placement({ run, path }: { run: string; path: string }) {
  const explanation = useExplanation(run, path);
  if (explanation.error) return <Failed error={explanation.error} />;
  if (explanation.isPending) return <Loading what="the explanation" />;
  const found = candidates(explanation.data?.placement);
  return (
    <div>
      <p className="mb-2">{explanation.data?.summary ?? "It has not been placed."}</p>
      {found ? (
        <>
          <div className="overflow-x-auto rounded-md border border-line" role="region" aria-label="Every site and its verdict" tabIndex={0}>
            <table className="w-full">
              <thead className="border-b border-line">
                <tr>
                  <Th>Site</Th>
                  <Th>Verdict</Th>
                  <Th>Why</Th>
                  <Th right>An hour</Th>
                  <Th right>Egress</Th>
                  <Th right>To bring</Th>
                </tr>
              </thead>
              <tbody>
                {found.sites.map((site) => (
                  <tr key={site.site} className="border-b border-line last:border-0">
                    <Td>
                      {site.site}
                      {site.simulated ? <span className="ml-1.5 rounded border border-line px-1 text-[11px] text-soft">simulated</span> : null}
                    </Td>
                    <Td className={`whitespace-nowrap ${site.verdict === "chosen" ? "text-good" : ""}`}>{VERDICTS[site.verdict] ?? site.verdict}</Td>
                    <Td className="min-w-56 text-soft">{site.why}</Td>
                    <Td right>{(site.compute_per_hour / MICRO).toPrecision(3)}</Td>
                    <Td right>{(site.egress / MICRO).toPrecision(3)}</Td>
                    <Td right>{bytes(site.bytes_to_bring)}</Td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <p className="mt-2 text-faint">Rule: {found.rule}</p>
        </>
      ) : null}
    </div>
  );
}
