// What happened to the rules, the latest first.

import { useInfiniteQuery } from "@tanstack/react-query";

import { changes } from "../../api/governance";
import { Ago, Button, Card, Empty, Failed, Loading, Td, Th } from "../../ui/kit";

const LOOKS: Record<string, string> = { applied: "~", approved: "●", revoked: "✕", deleted: "−" };
const PAGE = 50;

export function ChangesPane() {
  const pages = useInfiniteQuery({
    queryKey: ["policy", "changes"],
    queryFn: ({ pageParam, signal }) => changes(pageParam, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page) => (page.length === PAGE ? page.at(-1)?.epoch : undefined),
  });
  if (pages.error) return <Failed error={pages.error} />;
  if (pages.isPending) return <Loading what="the changes" />;
  const all = pages.data.pages.flat();
  if (all.length === 0) return <Empty title="Nothing has happened to the rules yet" />;
  return (
    <Card>
      <table className="w-full">
        <thead>
          <tr className="border-b border-line">
            <Th>When</Th>
            <Th>What</Th>
            <Th>Who</Th>
            <Th>Why</Th>
            <Th>The rules after it</Th>
          </tr>
        </thead>
        <tbody>
          {all.map((change) => (
            <tr key={change.epoch} className="border-b border-line align-top last:border-0">
              <Td>
                <Ago at={change.at} />
                <span className="block text-faint">entry {change.epoch}</span>
              </Td>
              <Td>
                {LOOKS[change.change] ?? ""} {change.change} {change.kind} <strong className="font-semibold">{change.name}</strong>
                {change.version ? ` version ${change.version}` : ""}
              </Td>
              <Td>{change.by}</Td>
              <Td>{change.reason}</Td>
              <Td>
                <code className="font-mono text-small" title={change.rules}>
                  {change.rules.slice(0, 19)}…
                </code>
              </Td>
            </tr>
          ))}
        </tbody>
      </table>
      {pages.hasNextPage ? (
        <div className="border-t border-line p-3 text-center">
          <Button onClick={() => void pages.fetchNextPage()}>Earlier</Button>
        </div>
      ) : null}
    </Card>
  );
}
