// What is supposed of a run, as it stands in the address: prices of sites, a deadline, rules. Whatever somebody wrote there, only what makes sense is
// taken.

import type { RunWhatIfRequest, SiteChangeView } from "../../api/types";

export const PRICES = ["cpu_hour", "memory_gib_hour", "egress_gb"] as const;
export type Price = (typeof PRICES)[number];

/** A supposition: what is asked of the server but for the action. */
export type Suppose = Omit<RunWhatIfRequest, "action">;

const amount = (value: unknown) => (typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined);

function siteOf(value: unknown): SiteChangeView | null {
  if (typeof value !== "object" || value === null) return null;
  const given = value as Record<string, unknown>;
  if (typeof given.site !== "string" || given.site === "") return null;
  const change: SiteChangeView = { site: given.site };
  if (given.gone === true) change.gone = true;
  for (const price of PRICES) {
    const value = amount(given[price]);
    if (value !== undefined) change[price] = value;
  }
  return Object.keys(change).length > 1 ? change : null;
}

/** What an address says is supposed; nothing when that is nothing. */
export function supposeOf(value: unknown): Suppose | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const given = value as Record<string, unknown>;
  const found: Suppose = {};
  const sites = (Array.isArray(given.sites) ? given.sites : []).flatMap((site: unknown) => siteOf(site) ?? []);
  if (sites.length > 0) found.sites = sites;
  const within = amount(given.deadline_s);
  if (given.no_deadline === true) found.no_deadline = true;
  else if (within !== undefined) found.deadline_s = within;
  const late = amount(given.late_per_hour);
  if (late !== undefined) found.late_per_hour = late;
  const without = (Array.isArray(given.without) ? given.without : []).filter((name): name is string => typeof name === "string");
  if (without.length > 0) found.without = without;
  const documents = (Array.isArray(given.documents) ? given.documents : []).flatMap((document: unknown) => {
    const text = (document as { text?: unknown } | null)?.text;
    return typeof text === "string" && text.trim() !== "" ? [{ path: "rules.yaml", text }] : [];
  });
  if (documents.length > 0) found.documents = documents;
  return Object.keys(found).length > 0 ? found : undefined;
}

/** The same with something of a site changed; what is as it was registered is left out. */
export function withSite(asked: Suppose, site: string, change: Partial<SiteChangeView>): Suppose {
  const before = asked.sites?.find((known) => known.site === site);
  const next: SiteChangeView = { ...before, site, ...change };
  const others = (asked.sites ?? []).filter((known) => known.site !== site);
  return { ...asked, sites: [...others, next] };
}
