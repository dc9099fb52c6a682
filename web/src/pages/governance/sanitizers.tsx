// What may take tags off: what it is, and how it stands with the owners of each tag.

import type { SanitizerView } from "../../api/governance";
import { applied, SANITIZER } from "../../lib/examples";
import { moment, seconds } from "../../lib/format";
import { Card, Empty, Said } from "../../ui/kit";
import { Tags } from "../../ui/tags";
import { Vouch } from "./vouch";

const STATES: Record<string, [words: string, look: string]> = {
  approved: ["● approved", "text-good"],
  waiting: ["◌ waits for approvals", "text-warn"],
  lapsed: ["✕ its approvals have ended", "text-bad"],
};

export function SanitizersPane({ sanitizers }: { sanitizers: SanitizerView[] }) {
  if (sanitizers.length === 0) {
    return (
      <Empty title="Nothing takes tags off" code={applied("sanitizer.yaml", SANITIZER)}>
        A sanitizer is exactly one piece of code that may take a tag off, once the owners of the tag have read it.
      </Empty>
    );
  }
  return (
    <div className="space-y-4">
      {sanitizers.map((one) => {
        const [words, look] = STATES[one.state] ?? [one.state, ""];
        return (
          <Card key={one.name} title={one.name} aside={<span className={look}>{words}</span>}>
            <div className="space-y-3 p-4">
              {one.description ? <p>{one.description}</p> : null}
              <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5">
                <dt className="text-soft">Runs</dt>
                <dd className="font-mono text-code">{one.runs}</dd>
                <dt className="text-soft">Takes off</dt>
                <dd className="flex flex-wrap gap-3">
                  {Object.entries(one.strips).map(([tag, becomes]) => (
                    <span key={tag}>
                      <Tags tags={[tag]} /> → {becomes ? <Tags tags={[becomes]} /> : "nothing"}
                    </span>
                  ))}
                </dd>
                <dt className="text-soft">Registered by</dt>
                <dd>{one.author}, who cannot approve it</dd>
                <dt className="text-soft">An approval is good for</dt>
                <dd>{seconds(one.expires_seconds)}</dd>
              </dl>
              <ul>
                {one.standing.map((standing) => (
                  <li key={standing.tag} className={standing.approved_by.length >= standing.needed ? "text-good" : "text-warn"}>
                    {standing.approved_by.length >= standing.needed ? "●" : "◌"} <Said text={standing.said} />
                  </li>
                ))}
              </ul>
              {one.approvals.length > 0 ? (
                <details>
                  <summary className="cursor-pointer text-soft">What people said: {one.approvals.length}</summary>
                  <ul className="mt-1 divide-y divide-line">
                    {one.approvals.map((said) => (
                      <li key={`${said.by} ${said.at}`} className="py-1.5">
                        <span className={said.state === "good" ? "text-good" : "text-soft"}>{said.state === "good" ? "●" : "◌"} {said.by}</span>, {moment(said.at)}: {said.reason || "no reason given"}
                        <span className="text-faint">
                          {" "}
                          {said.state === "good" ? `good until ${moment(said.until)}` : said.state === "other" ? "of another version of its code" : said.state}
                        </span>
                      </li>
                    ))}
                  </ul>
                </details>
              ) : null}
              <Vouch kind="sanitizer" name={one.name} digest={one.digest} />
            </div>
          </Card>
        );
      })}
    </div>
  );
}
