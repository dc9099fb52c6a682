// The rules: what is written, what it permits, who has vouched for what, and what became of it.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { Link } from "@tanstack/react-router";
import { Tabs } from "radix-ui";

import { usePolicy } from "../api/governance";
import { applied, RULES } from "../lib/examples";
import { Empty, Failed, Loading, PageHead } from "../ui/kit";
import { AskPane } from "./governance/ask";
import { ChangesPane } from "./governance/changes";
import { PoliciesPane } from "./governance/policies";
import { SanitizersPane } from "./governance/sanitizers";
import { TagsPane } from "./governance/tags";

const TABS = ["policies", "ask", "tags", "sanitizers", "changes"] as const;

export function GovernancePage() {
  const status = usePolicy();
  const { tab = "policies", write } = useSearch({ from: "/governance" });
  const navigate = useNavigate({ from: "/governance" });
  if (status.error && !status.data) return <Failed error={status.error} retry={() => void status.refetch()} />;
  if (status.isPending) return <Loading what="the rules" />;
  const rules = status.data;
  return (
    <>
      <PageHead
        title="Governance"
        above={
          <>
            {rules.governed ? (rules.closed ? "What no policy permits is refused." : "What no policy forbids is permitted.") : "There are no rules: work may run anywhere."} Version {rules.version} of the rules,{" "}
            <code className="font-mono text-small" title={rules.digest}>
              {rules.digest.slice(0, 19)}…
            </code>
          </>
        }
      >
        <Link to="/audit" className="inline-flex min-h-8 items-center rounded-md border border-line bg-raised px-3 font-medium hover:bg-sunken">
          Audit log
        </Link>
      </PageHead>
      <Tabs.Root value={TABS.includes(tab as never) ? tab : "policies"} onValueChange={(next) => void navigate({ search: (old) => ({ ...old, tab: next }), replace: true })}>
        <Tabs.List aria-label="Views of the rules" className="mb-4 flex gap-1 border-b border-line">
          {TABS.map((known) => (
            <Tabs.Trigger key={known} value={known} className="border-b-2 border-transparent px-3 py-1.5 capitalize text-soft data-[state=active]:border-accent data-[state=active]:text-ink">
              {known}
              {known === "sanitizers" && rules.sanitizers.some((one) => one.state !== "approved") ? <span className="ml-1.5 text-warn">◌</span> : null}
            </Tabs.Trigger>
          ))}
        </Tabs.List>
        <Tabs.Content value="policies">
          {rules.governed || rules.policies.length > 0 || write ? null : (
            <Empty title="No rule is registered" code={applied("rules.yaml", RULES)}>
              A policy says where data with a tag may be. It holds for every workflow, before a step runs.
            </Empty>
          )}
          <PoliciesPane rules={rules} />
        </Tabs.Content>
        <Tabs.Content value="ask">
          <AskPane rules={rules} />
        </Tabs.Content>
        <Tabs.Content value="tags">
          <TagsPane tags={rules.tags} />
        </Tabs.Content>
        <Tabs.Content value="sanitizers">
          <SanitizersPane sanitizers={rules.sanitizers} />
        </Tabs.Content>
        <Tabs.Content value="changes">
          <ChangesPane />
        </Tabs.Content>
      </Tabs.Root>
    </>
  );
}
