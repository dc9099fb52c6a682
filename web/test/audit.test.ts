import { createHash, generateKeyPairSync, sign } from "node:crypto";

import { describe, expect, test } from "vitest";

import { fromHex, hex, leafHash, nodeHash, readCheckpoint, rootOf, Tree } from "../src/lib/merkle";

const sha = (...parts: Uint8Array[]) => new Uint8Array(createHash("sha256").update(Buffer.concat(parts)).digest());
const leaf = (data: string) => sha(Uint8Array.of(0), fromHex(data));

// The leaves of the well-known test vectors of RFC 6962 implementations, and the roots of their first n.
const LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"].map(leaf);
const ROOTS: Record<number, string> = {
  1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

/** The definition of the tree, word for word. */
function rootByDefinition(leaves: Uint8Array[]): Uint8Array {
  if (leaves.length === 1) return leaves[0]!;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return nodeHash(rootByDefinition(leaves.slice(0, split)), rootByDefinition(leaves.slice(split)));
}

/** The audit path by definition, the lowest first. */
function proofByDefinition(index: number, leaves: Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return [];
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return index < split
    ? [...proofByDefinition(index, leaves.slice(0, split)), rootByDefinition(leaves.slice(split))]
    : [...proofByDefinition(index - split, leaves.slice(split)), rootByDefinition(leaves.slice(0, split))];
}

describe("the tree", () => {
  test("has the roots of the known vectors", () => {
    const tree = new Tree();
    for (const each of LEAVES) {
      tree.push(each);
      if (ROOTS[tree.size]) expect(hex(tree.root())).toBe(ROOTS[tree.size]);
    }
  });

  test("is that of the definition at every size, and every proof leads to its root and to no other", () => {
    for (let size = 1; size <= 40; size += 1) {
      const leaves = Array.from({ length: size }, (_, index) => leafHash(index, Uint8Array.of(index)));
      const tree = new Tree();
      leaves.forEach((each) => tree.push(each));
      const root = rootByDefinition(leaves);
      expect(hex(tree.root())).toBe(hex(root));
      for (let index = 0; index < size; index += 1) {
        const proof = proofByDefinition(index, leaves);
        expect(hex(rootOf(leaves[index]!, index + 1, size, proof))).toBe(hex(root));
        if (size > 1) {
          const other = leaves[(index + 1) % size]!;
          expect(hex(rootOf(other, index + 1, size, proof))).not.toBe(hex(root));
          expect(() => rootOf(leaves[index]!, index + 1, size, proof.slice(1))).toThrow();
          expect(() => rootOf(leaves[index]!, index + 1, size, [...proof, root])).toThrow();
        }
      }
    }
  });
});

describe("a checkpoint", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  const encoded = Buffer.concat([Uint8Array.of(1), raw]);
  const number = sha(Buffer.from("log/1\n"), encoded).slice(0, 4);
  const key = `log/1+${hex(number)}+${encoded.toString("base64")}`;
  const text = `log/1\n3\n${Buffer.from(LEAVES[0]!).toString("base64")}\n`;
  const signature = Buffer.concat([number, sign(null, Buffer.from(text), privateKey)]).toString("base64");

  test("is signed by its key, as it stands", async () => {
    const read = await readCheckpoint(`${text}\n— log/1 ${signature}\n`, key);
    expect([read.origin, read.size, read.signed, hex(read.root)]).toEqual(["log/1", 3, true, hex(LEAVES[0]!)]);
  });

  test("is not, with another number of entries, another name or another key", async () => {
    expect((await readCheckpoint(`${text.replace("\n3\n", "\n4\n")}\n— log/1 ${signature}\n`, key)).signed).toBe(false);
    expect((await readCheckpoint(`${text}\n— log/2 ${signature}\n`, key)).signed).toBe(false);
    const other = Buffer.concat([Uint8Array.of(1), raw.map((byte) => byte ^ 1)]);
    await expect(readCheckpoint(`${text}\n— log/1 ${signature}\n`, `log/1+00000000+${other.toString("base64")}`)).resolves.toMatchObject({ signed: false });
    await expect(readCheckpoint("log/1\n3\n", key)).rejects.toThrow();
  });
});
