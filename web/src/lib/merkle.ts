// The audit log checked by this browser's own computation: nothing the server says of a hash is believed. The bytes are those of RFC 6962
// (trees), c2sp.org/signed-note and c2sp.org/tlog-checkpoint (signatures), as the reference page on the audit log describes them.

import { sha256 } from "@noble/hashes/sha2.js";

const concat = (...parts: Uint8Array[]): Uint8Array<ArrayBuffer> => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fromHex(text: string): Uint8Array {
  if (!/^([0-9a-f]{2})*$/.test(text)) throw new Error("not hexadecimal digits");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** The hash of an entry: its time in microseconds since 1970, then its bytes. */
export function leafHash(atMicroseconds: number, bytes: Uint8Array): Uint8Array {
  const time = new Uint8Array(8);
  new DataView(time.buffer).setBigUint64(0, BigInt(atMicroseconds));
  return sha256(concat(LEAF, time, bytes));
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(concat(NODE, left, right));
}

/** The root that an inclusion proof leads to, from the hash of entry number `seq` in the tree of `size` entries. */
export function rootOf(leaf: Uint8Array, seq: number, size: number, proof: Uint8Array[]): Uint8Array {
  if (seq < 1 || seq > size) throw new Error(`entry ${seq} is not in a tree of ${size}`);
  let place = seq - 1;
  let last = size - 1;
  let hash = leaf;
  for (const beside of proof) {
    if (last === 0) throw new Error("the proof is too long");
    if (place % 2 === 1 || place === last) {
      hash = nodeHash(beside, hash);
      while (place % 2 === 0 && place !== 0) {
        place = Math.floor(place / 2);
        last = Math.floor(last / 2);
      }
    } else {
      hash = nodeHash(hash, beside);
    }
    place = Math.floor(place / 2);
    last = Math.floor(last / 2);
  }
  if (last !== 0) throw new Error("the proof is too short");
  return hash;
}

/** Folds leaf hashes, in order, into the root of their tree: what is kept is one hash a level. */
export class Tree {
  private readonly levels: (Uint8Array | undefined)[] = [];
  size = 0;

  push(leaf: Uint8Array) {
    let hash = leaf;
    let level = 0;
    for (let left = this.levels[level]; left; left = this.levels[level]) {
      hash = nodeHash(left, hash);
      this.levels[level] = undefined;
      level += 1;
    }
    this.levels[level] = hash;
    this.size += 1;
  }

  root(): Uint8Array {
    const parts = this.levels.filter((hash) => hash !== undefined);
    if (parts.length === 0) return sha256(new Uint8Array());
    return parts.reduce((right, left) => nodeHash(left, right));
  }
}

export type Checkpoint = { origin: string; size: number; root: Uint8Array; signed: boolean };

/** Reads a signed checkpoint and checks its signature against the key of the log (`NAME+NUMBER+BASE64`). */
export async function readCheckpoint(note: string, key: string): Promise<Checkpoint> {
  const split = note.indexOf("\n\n");
  if (split < 0) throw new Error("the checkpoint has no signature");
  const text = note.slice(0, split + 1);
  const [origin = "", size = "", root = ""] = text.split("\n");
  const plus = key.split("+");
  const name = plus[0] ?? "";
  const encoded = fromBase64(plus.slice(2).join("+"));
  if (encoded[0] !== 1 || encoded.length !== 33) throw new Error("the key is not one of a log");
  const number = sha256(concat(new TextEncoder().encode(`${name}\n`), encoded)).slice(0, 4);
  let signed = false;
  for (const line of note.slice(split + 2).split("\n")) {
    const [dash, signer, blob] = line.split(" ");
    if (dash !== "—" || signer !== name || !blob) continue;
    const bytes = fromBase64(blob);
    if (bytes.length !== 68 || !same(bytes.slice(0, 4), number)) continue;
    const imported = await crypto.subtle.importKey("raw", encoded.slice(1), { name: "Ed25519" }, false, ["verify"]);
    signed ||= await crypto.subtle.verify({ name: "Ed25519" }, imported, bytes.slice(4), new TextEncoder().encode(text));
  }
  return { origin, size: Number(size), root: fromBase64(root), signed };
}
