import { afterEach, expect, test, vi } from "vitest";

import { list, nextOf } from "../src/api/client";

afterEach(() => vi.unstubAllGlobals());

/** A server of a list that comes in pages: how often it is asked, and for what. */
function serves(pages: string[][]) {
  const asked: string[] = [];
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("fetch", (path: string) => {
    asked.push(path);
    const page = asked.length - 1;
    const headers = page + 1 < pages.length ? { link: `<?limit=2&cursor=${encodeURIComponent(`t/${page}`)}>; rel="next"` } : undefined;
    return Promise.resolve(new Response(JSON.stringify(pages[page]), { headers }));
  });
  return asked;
}

test("a list is read to its end, page after page", async () => {
  const asked = serves([["a", "b"], ["c", "d"], ["e"]]);
  expect(await list<string>("/x?limit=2", 10)).toEqual({ items: ["a", "b", "c", "d", "e"], more: false });
  expect(asked).toEqual(["/x?limit=2", "/x?limit=2&cursor=t%2F0", "/x?limit=2&cursor=t%2F1"]);
});

test("one that is too long is cut, and says so", async () => {
  serves([["a"], ["b"], ["c"]]);
  expect(await list<string>("/x", 2)).toEqual({ items: ["a", "b"], more: true });
});

test("the next page is the one that the header names, and no other relation", () => {
  expect(nextOf('<?limit=5&cursor=a%2Fb%20c>; rel="next"')).toBe("a/b c");
  expect([nextOf(null), nextOf('<?cursor=a>; rel="prev"'), nextOf('<?limit=1>; rel="next"')]).toEqual([undefined, undefined, undefined]);
});
