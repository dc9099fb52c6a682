// Makes a picture of a screen small: at most 256 colours, which is what a page has but for the shades of its letters.
import * as zlib from "node:zlib";

const { deflateSync, inflateSync } = zlib;

const COLOURS = 256;
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

function chunksOf(png) {
  const found = [];
  for (let at = SIGNATURE.length; at < png.length; ) {
    const length = png.readUInt32BE(at);
    found.push({ type: png.toString("latin1", at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) });
    at += length + 12;
  }
  return found;
}

/** The colours of a PNG of 8 bits without gaps, as browsers make them: one number for each point. */
export function pointsOf(png) {
  const chunks = chunksOf(png);
  const head = chunks[0].data;
  const [width, height, depth, kind] = [head.readUInt32BE(0), head.readUInt32BE(4), head[8], head[9]];
  const bytes = { 2: 3, 6: 4 }[kind];
  if (depth !== 8 || !bytes || head[12] !== 0) throw new Error(`a PNG of another kind: depth ${depth}, colour ${kind}`);
  const raw = inflateSync(Buffer.concat(chunks.filter((chunk) => chunk.type === "IDAT").map((chunk) => chunk.data)));
  const line = width * bytes;
  const points = new Uint32Array(width * height);
  let above = new Uint8Array(line);
  for (let row = 0; row < height; row += 1) {
    const filter = raw[row * (line + 1)];
    const now = new Uint8Array(raw.subarray(row * (line + 1) + 1, (row + 1) * (line + 1)));
    for (let at = 0; at < line; at += 1) now[at] += predicted(filter, at >= bytes ? now[at - bytes] : 0, above[at], at >= bytes ? above[at - bytes] : 0);
    for (let x = 0; x < width; x += 1) points[row * width + x] = (now[x * bytes] << 16) | (now[x * bytes + 1] << 8) | now[x * bytes + 2];
    above = now;
  }
  return { width, height, points };
}

/** What a filter of PNG takes from the points beside. */
function predicted(filter, left, up, corner) {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  if (filter !== 4) return 0;
  const guess = left + up - corner;
  const [toLeft, toUp, toCorner] = [left, up, corner].map((one) => Math.abs(guess - one));
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

const apart = (a, b) => Math.max(Math.abs((a >> 16) - (b >> 16)), Math.abs(((a >> 8) & 255) - ((b >> 8) & 255)), Math.abs((a & 255) - (b & 255)));

/** So many of the most frequent colours are kept as they are: they are the grounds and inks of the page, however near to each other. */
const EXACT = 64;

/** The colours that are kept: the most frequent, and of the others those that no other stands for. */
function chosen(points) {
  const counts = new Map();
  for (const point of points) counts.set(point, (counts.get(point) ?? 0) + 1);
  const all = [...counts].sort((a, b) => b[1] - a[1]).map(([colour]) => colour);
  for (let least = 1; ; least += 1) {
    const kept = all.slice(0, EXACT);
    for (const colour of all.slice(EXACT)) {
      if (kept.every((other) => apart(colour, other) >= least)) kept.push(colour);
      if (kept.length > COLOURS) break;
    }
    if (kept.length <= COLOURS) return { kept, all };
  }
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(checksum(body));
  return Buffer.concat([length, body, sum]);
}

/** The sum of PNG: that of Node.js where it has one. */
function checksum(bytes) {
  if (zlib.crc32) return zlib.crc32(bytes);
  let sum = ~0;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}

/** The same picture with a palette. */
export function small(png) {
  const { width, height, points } = pointsOf(png);
  const { kept, all } = chosen(points);
  const nearest = new Map(all.map((colour) => [colour, kept.reduce((best, other, at) => (apart(colour, other) < apart(colour, kept[best]) ? at : best), 0)]));
  const lines = Buffer.alloc((width + 1) * height);
  points.forEach((point, at) => (lines[at + Math.floor(at / width) + 1] = nearest.get(point)));
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8);
  const palette = Buffer.from(kept.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  return Buffer.concat([SIGNATURE, chunk("IHDR", head), chunk("PLTE", palette), chunk("IDAT", deflateSync(lines, { level: 9 })), chunk("IEND", Buffer.alloc(0))]);
}
