// One door to the server: JSON in and out, problem details as errors, the token of this browser tab with every request.

import { heard } from "../lib/now";
import { beginning, positionOf } from "./position";
import type { Problem } from "./types";
import { underWay } from "./work";

const TOKEN_KEY = "tutti.token";

/** What the server answered instead of what was asked for. */
export class ApiError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }

  get wantsToken(): boolean {
    return this.problem.status === 401;
  }

  /** Nobody answered: the server is away, and comes back. */
  get isUnreachable(): boolean {
    return this.problem.status === 0;
  }
}

export function token(): string | null {
  return sessionStorage.getItem(TOKEN_KEY);
}

const told = new Set<() => void>();

export function setToken(value: string | null) {
  if (value === token()) return;
  if (value) sessionStorage.setItem(TOKEN_KEY, value);
  else sessionStorage.removeItem(TOKEN_KEY);
  told.forEach((tell) => tell());
}

/** Calls when another token is used. What is given back ends that. */
export function onToken(tell: () => void): () => void {
  told.add(tell);
  return () => void told.delete(tell);
}

export function headers(extra: Record<string, string> = {}): Record<string, string> {
  const own = token();
  return own ? { ...extra, authorization: `Bearer ${own}` } : extra;
}

async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    const parsed = JSON.parse(text) as Problem;
    if (parsed.detail) return parsed;
  } catch {
    // Not a problem document: a proxy in between, or nothing at all.
  }
  const detail = text.slice(0, 300) || response.statusText || "the server gave no reason";
  return { type: "about:blank", title: "Unexpected answer", status: response.status, detail, code: "" };
}

async function send(method: string, path: string, body?: unknown, signal?: AbortSignal, extra: Record<string, string> = {}): Promise<Response> {
  const init: RequestInit = { method, headers: headers({ accept: "application/json", ...extra }), signal };
  if (body !== undefined) {
    init.headers = headers({ accept: "application/json", "content-type": "application/json" });
    init.body = JSON.stringify(body);
  }
  const sent = Date.now();
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    throw signal?.aborted ? error : unreachable();
  }
  heard(response.headers.get("date"), sent, Date.now());
  if (!response.ok) {
    const problem = await problemOf(response);
    tell(response);
    throw new ApiError(problem);
  }
  return response;
}

/** Says up to where an answer holds everything, once whoever asked has it: what is read again while they wait for it would be this very
 * answer, and be taken for a new one. */
function tell(response: Response) {
  const position = positionOf(response);
  if (position !== undefined) setTimeout(() => beginning.answered(position));
}

function unreachable(): ApiError {
  return new ApiError({
    type: "about:blank",
    title: "Unreachable",
    status: 0,
    code: "",
    detail: "the server does not answer",
    hint: "it may be restarting: this page goes on by itself when it is back",
  });
}

/** The whole of an answer. One that breaks off is none. */
async function whole<T>(response: Response, signal?: AbortSignal): Promise<T> {
  let text: string;
  try {
    text = await response.text();
  } catch (error) {
    throw signal?.aborted ? error : unreachable();
  }
  const parsed = JSON.parse(text) as T;
  tell(response);
  return parsed;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return underWay.during(false, async () => whole<T>(await send("GET", path, undefined, signal), signal));
}

/** The cursor of the page after this one, as a list says it in a header. */
export function nextOf(link: string | null): string | undefined {
  const address = /<([^>]*)>;\s*rel="next"/.exec(link ?? "")?.[1];
  return address === undefined ? undefined : (new URLSearchParams(address.split("?")[1]).get("cursor") ?? undefined);
}

/** A list, page after page, up to so many pages: what there is, and whether there is more. */
export async function list<T>(path: string, pages: number, signal?: AbortSignal): Promise<{ items: T[]; more: boolean }> {
  return underWay.during(false, async () => {
    const items: T[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < pages; page += 1) {
      const response = await send("GET", cursor === undefined ? path : `${path}${path.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(cursor)}`, undefined, signal);
      items.push(...(await whole<T[]>(response, signal)));
      cursor = nextOf(response.headers.get("link"));
      if (cursor === undefined) return { items, more: false };
    }
    return { items, more: true };
  });
}

export async function post<T>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> {
  return underWay.during(true, async () => whole<T>(await send("POST", path, body, signal), signal));
}

export async function remove<T>(path: string): Promise<T> {
  return underWay.during(true, async () => whole<T>(await send("DELETE", path)));
}

/** The bytes of an artifact, with the caller's token: a link of the browser has none. Of a large one the first so many. */
export async function blob(path: string, signal?: AbortSignal, first?: number): Promise<Blob> {
  const range: Record<string, string> = first === undefined ? {} : { range: `bytes=0-${first - 1}` };
  return underWay.during(false, async () => {
    const response = await send("GET", path, undefined, signal, range);
    const bytes = await response.blob();
    tell(response);
    return bytes;
  });
}

export async function text(path: string, signal?: AbortSignal): Promise<{ text: string; offset: number }> {
  const { response, text } = await underWay.during(false, async () => {
    const response = await send("GET", path, undefined, signal);
    return { response, text: await response.text() };
  });
  tell(response);
  return { text, offset: Number(response.headers.get("tutti-log-offset") ?? 0) };
}

/** The stream of a response's body, for logs and events. */
export async function stream(path: string, extra: Record<string, string>, signal: AbortSignal): Promise<Response> {
  const response = await fetch(path, { headers: headers(extra), signal });
  if (!response.ok) throw new ApiError(await problemOf(response));
  return response;
}

export function segment(name: string): string {
  return encodeURIComponent(name);
}
