// Artifacts and their lineage: made from what, by what, read by what, where they lie, and why they carry what they carry.

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";

import { get, segment } from "../api/client";
import { usePolicy } from "../api/governance";
import type { components } from "../api/schema";
import { ran, TABLE } from "../lib/examples";
import { bytes } from "../lib/format";
import { useRowKeys } from "../lib/keys";
import { Ago, Button, Card, Empty, Failed, Loading, More, PageHead, RunLink, Td, Th } from "../ui/kit";
import { Tags } from "../ui/tags";
import { ArtifactPreview } from "../ui/value";

type Origin = components["schemas"]["ArtifactOriginView"];
type Lineage = components["schemas"]["LineageView"];
type Versions = components["schemas"]["VersionsView"];

const PAGE = 100;
const short = (digest: string) => `${digest.slice(0, 19)}…`;

export function ArtifactsPage() {
  const { digest, tag } = useSearch({ from: "/artifacts" });
  const navigate = useNavigate({ from: "/artifacts" });
  useRowKeys();
  const tags = usePolicy().data?.tags ?? [];
  const pages = useInfiniteQuery({
    queryKey: ["runs", "artifacts", tag],
    queryFn: ({ pageParam, signal }) => get<Origin[]>(`/api/v1/artifacts?limit=${PAGE}${tag ? `&tag=${encodeURIComponent(tag)}` : ""}${pageParam ? `&cursor=${pageParam}` : ""}`, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page) => (page.length >= PAGE ? page.at(-1)?.entry : undefined),
  });
  // What was brought to another site is no new artifact: where copies are stands beside each.
  const all = (pages.data?.pages.flat() ?? []).filter((one) => !one.action?.includes("<-"));
  const choose = (next: string | undefined) => void navigate({ search: (old) => ({ ...old, digest: next }) });
  return (
    <>
      <PageHead title="Artifacts">
        <label className="flex items-center gap-2">
          <span className="text-soft">Carrying</span>
          <select value={tag ?? ""} onChange={(event) => void navigate({ search: (old) => ({ ...old, tag: event.target.value || undefined }) })} className="rounded-md border border-edge bg-surface px-2 py-1">
            <option value="">anything</option>
            {tags.map((known) => (
              <option key={known.name}>{known.name}</option>
            ))}
          </select>
        </label>
      </PageHead>
      <div className={`grid gap-4 ${digest ? "xl:grid-cols-[minmax(0,1fr)_minmax(420px,42%)]" : ""}`}>
        <Card title="What came to be" aside="the latest first">
          {pages.error ? (
            <Failed error={pages.error} retry={() => void pages.refetch()} />
          ) : pages.isPending ? (
            <Loading what="artifacts" />
          ) : all.length === 0 ? (
            <Empty title="No artifact yet" example="table" code={ran("table.workflow.yaml", TABLE)}>
              Files, tables and models that steps give are kept at the sites where they were made, each under the digest of its content.
            </Empty>
          ) : (
            <div className="@container overflow-x-auto">
              <table className="w-full">
                <thead>
                  <tr className="border-b border-line">
                    <Th>Artifact</Th>
                    <Th>Carries</Th>
                    <Th>Made by</Th>
                    <Th className="hidden @4xl:table-cell">Copies at</Th>
                    <Th right className="hidden @4xl:table-cell">Size</Th>
                    <Th>When</Th>
                  </tr>
                </thead>
                <tbody>
                  {all.map((one) => (
                    <tr key={`${one.digest} ${one.run} ${one.action ?? ""}`} className={`border-b border-line align-top last:border-0 ${one.digest === digest ? "bg-sunken" : ""}`}>
                      <Td>
                        <button type="button" data-row onClick={() => choose(one.digest)} className="text-left font-medium text-accent hover:underline">
                          {one.name || one.kind || "artifact"}
                        </button>
                        <code className="block font-mono text-small text-faint">{short(one.digest)}</code>
                        <span className="block text-small text-faint @4xl:hidden">{bytes(one.size)}</span>
                      </Td>
                      <Td>
                        <Tags tags={one.label} />
                      </Td>
                      <Td>
                        {one.action ? (
                          <Link to="/runs/$run" params={{ run: one.run }} search={{ action: one.action }} className="text-accent hover:underline">
                            {one.action}
                          </Link>
                        ) : (
                          <span className="text-soft">given to</span>
                        )}{" "}
                        <span className="text-soft">
                          {one.action ? "of" : ""} <RunLink name={one.run} />
                        </span>
                      </Td>
                      <Td className="hidden @4xl:table-cell">{one.sites.join(", ") || <span className="text-faint">no site any more</span>}</Td>
                      <Td right className="hidden @4xl:table-cell">{bytes(one.size)}</Td>
                      <Td>
                        <Ago at={one.at} />
                      </Td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
          <More pages={pages}>Earlier</More>
        </Card>
        {digest ? <LineageCard key={digest} digest={digest} close={() => choose(undefined)} /> : null}
      </div>
    </>
  );
}

function LineageCard({ digest, close }: { digest: string; close: () => void }) {
  const lineage = useQuery({ queryKey: ["runs", "lineage", digest], queryFn: ({ signal }) => get<Lineage>(`/api/v1/artifacts/${segment(digest)}/lineage`, signal) });
  const made = lineage.data?.origins.find((origin) => origin.action && !origin.action.includes("<-")) ?? lineage.data?.origins[0];
  return (
    <Card
      className="self-start xl:sticky xl:top-18 xl:max-h-[calc(100vh-6rem)] xl:overflow-y-auto"
      title={made?.name || "Artifact"}
      aside={
        <Button onClick={close} aria-label="Close the artifact">
          ✕
        </Button>
      }
    >
      {lineage.error ? (
        <Failed error={lineage.error} />
      ) : lineage.isPending ? (
        <Loading what="where it comes from" />
      ) : (
        <div className="space-y-5 p-4">
          {made?.name ? <ArtifactPreview artifact={{ digest, size: made.size, kind: made.kind ?? undefined, name: made.name }} /> : <p className="text-soft">Its name and content may be seen by those who may see what it carries.</p>}
          <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5">
            <dt className="text-soft">Digest</dt>
            <dd className="break-all font-mono text-small">{digest}</dd>
            <dt className="text-soft">Copies at</dt>
            <dd>{lineage.data.sites.join(", ") || "no site any more"}</dd>
            <dt className="text-soft">Carries</dt>
            <dd>
              <Tags tags={lineage.data.label} />
            </dd>
          </dl>
          <Flow lineage={lineage.data} made={made} />
          <VersionList digest={digest} />
          {lineage.data.label.length > 0 ? (
            <section>
              <h3 className="mb-1 font-semibold">Why it carries that</h3>
              <ul className="space-y-1">
                {lineage.data.label.map((tag) => (
                  <li key={tag}>
                    <Tags tags={[tag]} /> {lineage.data.trails[tag] ? lineage.data.trails[tag]!.join(" → ") : "it was stored with the artifact by another run"}
                  </li>
                ))}
              </ul>
            </section>
          ) : null}
          {lineage.data.origins.length > 1 ? (
            <section>
              <h3 className="mb-1 font-semibold">The same content came to be {lineage.data.origins.length} times</h3>
              <ul className="space-y-0.5">
                {lineage.data.origins.map((origin) => (
                  <li key={`${origin.run} ${origin.action ?? ""}`}>
                    <RunLink name={origin.run} inText /> <span className="text-soft">{origin.action ?? "was given it"}</span> <Ago at={origin.at} />
                  </li>
                ))}
              </ul>
            </section>
          ) : null}
        </div>
      )}
    </Card>
  );
}

/** What the same step gave under the same name from run to run, and where each of it lies. */
function VersionList({ digest }: { digest: string }) {
  const versions = useQuery({ queryKey: ["runs", "versions", digest], queryFn: ({ signal }) => get<Versions>(`/api/v1/artifacts/${segment(digest)}/versions`, signal) });
  if (versions.error) return <Failed error={versions.error} />;
  if (versions.isPending) return <Loading what="its versions" />;
  const { name, workflow, action, versions: all, more } = versions.data;
  if (all.length === 0) return null;
  return (
    <section aria-label="Versions">
      <h3 className="mb-1 font-semibold">
        {all.length === 1 ? "One version" : `${all.length.toLocaleString()} versions`} of {name}
      </h3>
      <p className="mb-2 text-soft">
        {action ? `As ${action} of ${workflow} gave it` : `As runs of ${workflow} were given it`}, from run to run{more ? "; earlier runs are not looked at" : ""}.
      </p>
      <ol className="space-y-1.5">
        {all.map((one) => (
          <li key={one.digest} aria-current={one.digest === digest ? "true" : undefined} className={`rounded-md border px-3 py-1.5 ${one.digest === digest ? "border-accent" : "border-line"}`}>
            <span className="flex flex-wrap items-baseline gap-x-2">
              {one.digest === digest ? (
                <strong className="font-semibold">{one.version ? `version ${one.version}` : "this one"}</strong>
              ) : (
                <Link to="/artifacts" search={(old) => ({ ...old, digest: one.digest })} className="font-medium text-accent hover:underline">
                  {one.version ? `version ${one.version}` : short(one.digest)}
                </Link>
              )}
              <span className="text-soft">
                since <RunLink name={one.run} />, <Ago at={one.at} />
              </span>
              <span className="text-faint">{bytes(one.size)}</span>
            </span>
            <span className="flex flex-wrap items-baseline gap-x-2 text-soft">
              {one.sites.length > 0 ? `at ${one.sites.join(", ")}` : "at no site any more"}
              <Tags tags={one.label} />
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** From what, by what, to what: three columns in words, each a link. */
function Flow({ lineage, made }: { lineage: Lineage; made?: Origin }) {
  const box = "rounded-md border border-line bg-surface px-3 py-2";
  return (
    <section aria-label="Lineage" className="grid gap-2">
      <div className={box}>
        <h3 className="mb-1 text-soft">Made from</h3>
        {lineage.from.length === 0 ? <p>no other artifact</p> : null}
        <ul>
          {lineage.from.map((one) => (
            <li key={one.digest}>
              <Link to="/artifacts" search={(old) => ({ ...old, digest: one.digest })} className="text-accent underline">
                {one.name || one.kind || short(one.digest)}
              </Link>{" "}
              <span className="text-faint">{bytes(one.size)}</span>
            </li>
          ))}
        </ul>
      </div>
      <div aria-hidden className="text-center text-faint">
        ↓
      </div>
      <div className={box}>
        <h3 className="mb-1 text-soft">{made?.action ? "By" : "Given to"}</h3>
        {made ? (
          <Link to="/runs/$run" params={{ run: made.run }} search={made.action ? { action: made.action } : {}} className="font-medium text-accent hover:underline">
            {made.action ? `${made.action} of ${made.run}` : made.run}
          </Link>
        ) : (
          "nothing that is recorded: it was uploaded, or came to be before lineage was kept"
        )}
        {made ? <span className="block text-soft">{made.workflow}</span> : null}
      </div>
      <div aria-hidden className="text-center text-faint">
        ↓
      </div>
      <div className={box}>
        <h3 className="mb-1 text-soft">Read by</h3>
        {lineage.used.length === 0 ? <p>nothing</p> : null}
        <ul>
          {lineage.used.map((one) => (
            <li key={`${one.run} ${one.action}`}>
              <Link to="/runs/$run" params={{ run: one.run }} search={{ action: one.action }} className="text-accent hover:underline">
                {one.action}
              </Link>{" "}
              <span className="text-faint">of {one.run}</span>
            </li>
          ))}
        </ul>
        {lineage.more ? <p className="text-soft">Its runs have more actions than are looked at.</p> : null}
      </div>
    </section>
  );
}
