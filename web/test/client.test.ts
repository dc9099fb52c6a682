import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { afterEach, describe, expect, test, vi } from "vitest";

import { get } from "../src/api/client";
import { beginning } from "../src/api/position";

afterEach(() => {
  beginning.forget();
  vi.unstubAllGlobals();
});

/** A server that gives these answers one after another, each with the position that it holds everything up to. */
function serves(...answers: { position: number; value: string }[]) {
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("fetch", () => {
    const { position, value } = answers.shift()!;
    return Promise.resolve(new Response(JSON.stringify(value), { headers: { "tutti-position": String(position) } }));
  });
  return answers;
}

describe("an answer from before the stream of events began", () => {
  test("is read again even when it is the first that its view gets", async () => {
    const left = serves({ position: 3, value: "old" }, { position: 6, value: "new" });
    const queries = new QueryClient();
    let missed = 0;
    beginning.begins(5, () => {
      missed += 1;
      void queries.invalidateQueries();
    });
    const seen: unknown[] = [];
    const view = new QueryObserver(queries, { queryKey: ["runs"], queryFn: ({ signal }) => get<string>("/api/v1/runs", signal) });
    const leave = view.subscribe((result) => {
      if (!result.isFetching) seen.push(result.data);
    });
    await vi.waitFor(() => expect(seen.at(-1)).toBe("new"));
    leave();
    queries.clear();
    expect([missed, left.length]).toEqual([1, 0]);
  });
});
