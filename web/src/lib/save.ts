// Saving what the server has as a file of the reader's.

import { blob } from "../api/client";

/** How long the browser may take to write what it was given. */
const WRITING_MS = 10_000;

/** Fetches what lies at an address with the caller's token, and saves it under a name. */
export async function save(address: string, name: string) {
  const held = URL.createObjectURL(await blob(address));
  const link = document.createElement("a");
  link.href = held;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(held), WRITING_MS);
}
