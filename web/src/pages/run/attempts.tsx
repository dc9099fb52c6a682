// The attempts at an action, one by one: where each was, how it ended and why, what it took and cost, and what it wrote.

import type { ActionView, FailureView } from "../../api/types";
import { money, seconds } from "../../lib/format";
import { Phase, SiteName, Td, Th } from "../../ui/kit";

export type Attempt = { number: number; site?: string | null; phase: string; seconds: number; cost: number; failure?: FailureView | null };

/** Every attempt at an action, the first of them first. The last one is told by the action itself, unless it is over and another will follow. */
export function attemptsOf(action: ActionView): Attempt[] {
  const earlier = (action.earlier ?? []).map(({ attempt, ...rest }): Attempt => ({ number: attempt, ...rest }));
  const ended = earlier.at(-1)?.number ?? 0;
  if (action.attempts <= ended) return earlier;
  const before = earlier.reduce((sum, attempt) => sum + attempt.cost, 0);
  return [...earlier, { number: action.attempts, site: action.site, phase: action.phase, seconds: action.seconds, cost: Math.max(0, action.cost - before), failure: action.failure }];
}

type Props = { action: ActionView; /** Shows what an attempt wrote; none where actions of this kind write nothing. */ onLog?: (attempt: number) => void };

export function Attempts({ action, onLog }: Props) {
  return (
    <div className="overflow-x-auto">
      <table className="w-full" aria-label="Attempts">
        <thead>
          <tr className="border-b border-line">
            <Th right>Attempt</Th>
            <Th>Site</Th>
            <Th>Ended</Th>
            <Th right>Took</Th>
            <Th right>Cost</Th>
            <Th />
          </tr>
        </thead>
        <tbody>
          {attemptsOf(action).map((attempt) => (
            <tr key={attempt.number} className="border-b border-line align-top last:border-0">
              <Td right>{attempt.number}</Td>
              <Td>
                <SiteName name={attempt.site} />
              </Td>
              <Td>
                <Phase phase={attempt.phase} kind={action.kind} />
                {attempt.failure ? (
                  <span className="block break-words text-bad">
                    {attempt.failure.class.replaceAll("_", " ")}: {attempt.failure.message}
                  </span>
                ) : null}
              </Td>
              <Td right>{seconds(attempt.seconds)}</Td>
              <Td right>{money(attempt.cost)}</Td>
              <Td>
                {onLog ? (
                  <button type="button" className="text-accent hover:underline" onClick={() => onLog(attempt.number)} aria-label={`The log of attempt ${attempt.number}`}>
                    log
                  </button>
                ) : null}
              </Td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
