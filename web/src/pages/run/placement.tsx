// Why an action is where it is: every site with its terms and its verdict, as recorded with the decision; and what would be otherwise.

import { lazy, Suspense } from "react";

import { useExplanation } from "../../api/queries";
import type { RunView } from "../../api/types";
import { money } from "../../lib/format";
import { Failed, Loading, Said } from "../../ui/kit";
import { Candidates, explanationOf } from "./candidates";

const WhatIf = lazy(() => import("./whatif").then((module) => ({ default: module.WhatIf })));

export function Placement({ run, path }: { run: RunView; path: string }) {
  const explanation = useExplanation(run.name, path);
  if (explanation.error && !explanation.data) return <Failed error={explanation.error} />;
  if (explanation.isPending) return <Loading what="the explanation" />;
  const found = explanationOf(explanation.data?.placement);
  return (
    <div>
      <p className="mb-2"><Said text={explanation.data?.summary ?? "It has not been placed."} /></p>
      {found ? (
        <>
          <Candidates sites={found.sites} label="Every site and its verdict" />
          <p className="mt-2 text-faint">
            Rule: {found.rule}
            {found.instead_of ? `. The run's plan had named ${found.instead_of}` : ""}
            {found.tried ? `. ${money(found.tried / 1e6)} was paid for trying a site of which little is known` : ""}
            {found.bounds ? `. ${found.bounds}` : ""}
          </p>
          <section aria-label="What if" className="mt-5 border-t border-line pt-4">
            <h3 className="mb-1 font-semibold">What if</h3>
            <Suspense fallback={<Loading what="the comparison" />}>
              <WhatIf run={run} action={path} />
            </Suspense>
          </section>
        </>
      ) : null}
    </div>
  );
}
