// The audit log: its signed checkpoint, a check of the whole of it by this browser, and what it holds.

import { useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { checkpoint, facts, useAuditStatus, verifyTree, type Fact } from "../api/audit";
import { useSettled } from "../lib/address";
import { Button, Card, Empty, Failed, Loading, PageHead } from "../ui/kit";
import { FactList, WORDS } from "../ui/facts";
import { Save } from "../ui/save";
import { History } from "./run/history";

const PAGE = 200;

export function AuditPage() {
  const status = useAuditStatus();
  if (status.error && !status.data) return <Failed error={status.error} retry={() => void status.refetch()} />;
  if (status.isPending) return <Loading what="the audit log" />;
  const { entries, key, halted } = status.data;
  return (
    <>
      <PageHead title="Audit">
        <Save from="/api/v1/audit/export" as="audit.jsonl" className="inline-flex min-h-8 items-center rounded-md border border-line bg-raised px-3 font-medium hover:bg-sunken">
          Export
        </Save>
      </PageHead>
      {halted ? (
        <div role="alert" className="mb-4 rounded-lg border border-bad bg-raised px-4 py-3">
          <p className="font-medium text-bad">✕ Nothing is dispatched: the log contradicts what was signed before</p>
          <p className="mt-1">{typeof halted === "string" ? halted : JSON.stringify(halted)}</p>
          <p className="mt-1 text-soft">When the contradiction is understood, `tutti audit accept` goes on, and is itself recorded.</p>
        </div>
      ) : null}
      <Card title="The log and its seal" className="mb-4">
        {key ? <Seal auditKey={key} entries={entries} /> : <Empty title="This log has no key">Its entries are hashed, and nobody signs for them.</Empty>}
      </Card>
      <Newest entries={entries} auditKey={key ?? undefined} />
    </>
  );
}

function Seal({ auditKey, entries }: { auditKey: string; entries: number }) {
  const seal = useQuery({ queryKey: ["audit", "checkpoint", entries], queryFn: () => checkpoint(auditKey), placeholderData: (old) => old });
  const [progress, setProgress] = useState<[number, number]>();
  const verify = useMutation({ mutationFn: () => verifyTree(auditKey, (done, of) => setProgress([done, of]), new AbortController().signal) });
  return (
    <div className="grid gap-6 p-4 lg:grid-cols-2">
      <dl className="grid grid-cols-[auto_1fr] content-start gap-x-4 gap-y-1.5">
        <dt className="text-soft">Entries</dt>
        <dd>{entries.toLocaleString()}</dd>
        <dt className="text-soft">Key</dt>
        <dd className="break-all font-mono text-small">{auditKey}</dd>
        <dt className="text-soft">Checkpoint</dt>
        <dd>
          {seal.error ? (
            <span className="text-bad">✕ {seal.error.message}</span>
          ) : seal.data ? (
            <>
              over {seal.data.size.toLocaleString()} entries,{" "}
              <span className={seal.data.signed ? "text-good" : "text-bad"}>{seal.data.signed ? "● signed by this key" : "✕ not signed by this key"}</span>
            </>
          ) : (
            "…"
          )}
        </dd>
      </dl>
      <div>
        <p className="mb-3 text-soft">
          This browser fetches the hash of every entry, computes the root of their tree with its own code, and compares it with the signed checkpoint. What
          it cannot see is whether somebody else is shown another log: for that, keep a checkpoint, or ask a witness.
        </p>
        <Button look="primary" disabled={verify.isPending} onClick={() => verify.mutate()}>
          Verify in this browser
        </Button>
        {verify.isPending && progress ? (
          <p role="status" className="mt-2 text-soft">
            {progress[0].toLocaleString()} of {progress[1].toLocaleString()} entries
          </p>
        ) : null}
        {verify.data ? (
          <p role="status" className={`mt-2 font-medium ${verify.data.ok ? "text-good" : "text-bad"}`}>
            {verify.data.ok ? "●" : "✕"} {verify.data.entries.toLocaleString()} entries: {verify.data.why}
          </p>
        ) : null}
        {verify.error ? <Failed error={verify.error} /> : null}
      </div>
    </div>
  );
}

/** What has been recorded since the page was opened, the newest first. When that is more than a page, the list begins anew at its end. */
function useSince(end: number, entries: number, begin: (end: number) => void): Fact[] {
  const since = useQuery({
    queryKey: ["audit", "since", end, entries],
    queryFn: ({ signal }) => facts(end, PAGE, undefined, signal),
    enabled: entries > end && entries - end <= PAGE,
    placeholderData: (old) => old,
  });
  useEffect(() => (entries - end > PAGE ? begin(entries) : undefined), [entries, end]);
  // What an earlier end was followed by is in the pages now.
  return (since.data?.items ?? []).filter((fact) => fact.seq > end).toReversed();
}

/** What was recorded last, and back from there; what comes is put before it. */
function Newest({ entries, auditKey }: { entries: number; auditKey?: string }) {
  const [end, begin] = useState(entries);
  const since = useSince(end, entries, begin);
  const pages = useInfiniteQuery({
    queryKey: ["audit", "facts", end],
    queryFn: ({ pageParam, signal }) => facts(Math.max(0, pageParam - PAGE), Math.min(PAGE, pageParam), undefined, signal),
    initialPageParam: end,
    getNextPageParam: (_page, _pages, last) => (last > PAGE ? last - PAGE : undefined),
    enabled: end > 0,
    placeholderData: (old) => old,
  });
  const search = useSearch({ from: "/audit" });
  const navigate = useNavigate({ from: "/audit" });
  const [run, setRun] = useSettled(search.run ?? "", (next) => void navigate({ search: (old) => ({ ...old, run: next || undefined }), replace: true }));
  const [who, setWho] = useSettled(search.who ?? "", (next) => void navigate({ search: (old) => ({ ...old, who: next || undefined }), replace: true }));
  const kind = search.what ?? "";
  const setKind = (next: string) => void navigate({ search: (old) => ({ ...old, what: next || undefined }) });
  const loaded = [...since, ...(pages.data?.pages.flatMap((page) => [...page.items].reverse()) ?? [])];
  const kinds = [...new Set([...Object.keys(WORDS), ...loaded.map((fact) => fact.event), ...(kind ? [kind] : [])])].sort();
  const all = loaded.filter((fact) => (kind === "" || fact.event === kind) && (who === "" || String((fact.data as Record<string, unknown>).principal ?? "").includes(who)));
  const field = "rounded-md border border-edge bg-surface px-2 py-1";
  return (
    <Card title="What is recorded" aside={run ? `of ${run}, in order` : "the newest first"}>
      <div className="flex flex-wrap items-center gap-3 border-b border-line px-4 py-2">
        <label className="flex items-center gap-2">
          <span className="text-soft">Run</span>
          <input value={run} onChange={(event) => setRun(event.target.value.trim())} placeholder="every run" className={field} />
        </label>
        {run ? null : (
          <>
            <label className="flex items-center gap-2">
              <span className="text-soft">What</span>
              <select value={kind} onChange={(event) => setKind(event.target.value)} className={field}>
                <option value="">everything</option>
                {kinds.map((known) => (
                  <option key={known} value={known}>
                    {known.replaceAll("_", " ")}
                  </option>
                ))}
              </select>
            </label>
            <label className="flex items-center gap-2">
              <span className="text-soft">Who</span>
              <input value={who} onChange={(event) => setWho(event.target.value)} placeholder="anybody" className={field} />
            </label>
            <span className="text-faint">
              {all.length.toLocaleString()} of the {loaded.length.toLocaleString()} entries that are loaded
            </span>
          </>
        )}
      </div>
      {run ? <History run={run} /> : null}
      {run ? null : pages.error ? <Failed error={pages.error} /> : loaded.length === 0 && entries === 0 ? <Empty title="Nothing is recorded yet" /> : <FactList facts={all} auditKey={auditKey} />}
      {pages.hasNextPage && !run ? (
        <div className="border-t border-line p-3 text-center">
          <Button onClick={() => void pages.fetchNextPage()} disabled={pages.isFetchingNextPage}>
            Earlier
          </Button>
        </div>
      ) : null}
    </Card>
  );
}
