// What was recorded of a run, in order, each entry with its proof.

import { useInfiniteQuery } from "@tanstack/react-query";

import { facts, useAuditStatus } from "../../api/audit";
import { Button, Failed, Loading } from "../../ui/kit";
import { FactList } from "../../ui/facts";

const PAGE = 200;

export function History({ run }: { run: string }) {
  const status = useAuditStatus();
  const pages = useInfiniteQuery({
    queryKey: ["run", run, "facts"],
    queryFn: ({ pageParam, signal }) => facts(pageParam, PAGE, run, signal),
    initialPageParam: 0,
    getNextPageParam: (page) => (page.next ? Number(page.next) : undefined),
  });
  if (pages.error) return <Failed error={pages.error} />;
  if (pages.isPending) return <Loading what="the history" />;
  return (
    <div className="py-2">
      <FactList facts={pages.data.pages.flatMap((page) => page.items)} auditKey={status.data?.key ?? undefined} withRun={false} />
      {pages.hasNextPage ? (
        <div className="border-t border-line p-3 text-center">
          <Button onClick={() => void pages.fetchNextPage()} disabled={pages.isFetchingNextPage}>
            Later
          </Button>
        </div>
      ) : null}
    </div>
  );
}
