// Gives every built file of some size a compressed twin, which the server sends to whoever takes it.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const SMALL = 512;
const dist = new URL("../dist", import.meta.url).pathname;
let total = 0;
for (const name of readdirSync(dist, { recursive: true })) {
  const path = join(dist, name);
  if (!statSync(path).isFile() || path.endsWith(".br")) continue;
  const plain = readFileSync(path);
  const packed = brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
  if (plain.length > SMALL && packed.length < plain.length) writeFileSync(`${path}.br`, packed);
  total += Math.min(packed.length, plain.length);
}
console.log(`${(total / 1024).toFixed(0)} KiB compressed`);
