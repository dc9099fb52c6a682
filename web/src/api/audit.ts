// What the audit log says, and the checks of it that this browser makes by itself.

import { useQuery } from "@tanstack/react-query";

import { compare } from "../lib/entry";
import { fromBase64, fromHex, leafHash, readCheckpoint, rootOf, same, Tree, type Checkpoint } from "../lib/merkle";
import { get, stream } from "./client";
import type { components } from "./schema";
import type { Page } from "./types";

export type AuditStatus = components["schemas"]["AuditStatus"];

/** How far the log goes, and who signs for it: it grows with every event. */
export function useAuditStatus() {
  return useQuery({ queryKey: ["log", "status"], queryFn: ({ signal }) => get<AuditStatus>("/api/v1/audit/status", signal) });
}

const note = async () => (await stream("/api/v1/audit/checkpoint", {}, new AbortController().signal)).text();

/** The last checkpoint, its signature checked here against `key`. */
export async function checkpoint(key: string): Promise<Checkpoint> {
  return readCheckpoint(await note(), key);
}

const CHUNK = 10_000;
const HASH = 32;

export type Verified = { entries: number; ok: boolean; why: string };

/** Computes the root of the whole tree from the hashes of its leaves, and compares it with the signed checkpoint. */
export async function verifyTree(key: string, told: (done: number, of: number) => void, signal: AbortSignal): Promise<Verified> {
  const seal = await checkpoint(key);
  if (!seal.signed) return { entries: 0, ok: false, why: "the checkpoint is not signed by this key" };
  const tree = new Tree();
  while (tree.size < seal.size) {
    const limit = Math.min(CHUNK, seal.size - tree.size);
    const response = await stream(`/api/v1/audit/leaves?from=${tree.size}&limit=${limit}`, {}, signal);
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes.length === 0 || bytes.length % HASH !== 0) return { entries: tree.size, ok: false, why: `the log ends after ${tree.size} of ${seal.size} entries` };
    for (let at = 0; at < bytes.length; at += HASH) tree.push(bytes.subarray(at, at + HASH));
    told(tree.size, seal.size);
  }
  const ok = same(tree.root(), seal.root);
  return { entries: tree.size, ok, why: ok ? "the entries give the root that was signed" : "the entries do not give the root that was signed" };
}

type Proof = { entry: { seq: number; at_us: number; bytes: string }; size: number; proof: string[] };

export type Proved = Verified & { /** What was told of the entry and is not read from its bytes here. */ unread?: string[] };

/** Hashes the entry of a fact here, follows its proof, compares with the signed checkpoint, and holds what was told of it against what it says. */
export async function verifyEntry(fact: Fact, key: string): Promise<Proved> {
  const seq = fact.seq;
  const seal = await checkpoint(key);
  if (!seal.signed) return { entries: 0, ok: false, why: "the checkpoint is not signed by this key" };
  if (seq > seal.size) return { entries: 0, ok: false, why: "no checkpoint covers it yet: one is signed within seconds" };
  const { entry, proof } = await get<Proof>(`/api/v1/audit/proof?seq=${seq}&size=${seal.size}`);
  if (entry.seq !== seq) return { entries: 0, ok: false, why: `the server answered with entry ${entry.seq}` };
  const bytes = fromBase64(entry.bytes);
  const root = rootOf(leafHash(entry.at_us, bytes), seq, seal.size, proof.map(fromHex));
  if (!same(root, seal.root)) return { entries: 1, ok: false, why: "its proof does not lead to the root that was signed" };
  const { differs, unread } = compare({ event: fact.event, data: fact.data as Record<string, unknown> }, bytes, entry.at_us);
  if (differs.length > 0) return { entries: 1, ok: false, why: `the entry that was signed says something else: ${differs.join("; ")}` };
  return { entries: 1, ok: true, why: `it is entry ${seq} of the ${seal.size.toLocaleString()} that were signed, and says this`, unread };
}

export type Fact = components["schemas"]["FactView"];

/** Facts of the journal after a position: of a run, or of all. */
export function facts(after: number, limit: number, run: string | undefined, signal: AbortSignal): Promise<Page<Fact>> {
  return get<Page<Fact>>(`/api/v1/facts?cursor=${after}&limit=${limit}${run ? `&run=${encodeURIComponent(run)}` : ""}`, signal);
}
