// What time it is at the server. Whatever a page compares with the times that the server wrote is compared by its clock: the browser's may be wrong.

/** By how much the server is ahead of this browser, in milliseconds. */
let ahead = 0;

/** Hears from an answer what time it was there. The date of an answer is a whole second that lies between the request and the answer: a clock
 * that fits between them is believed, and one that does not is put right by as little as makes it fit. */
export function heard(date: string | null, sent: number, came: number) {
  const there = Date.parse(date ?? "");
  if (Number.isNaN(there)) return;
  ahead = Math.min(Math.max(ahead, there - came), Math.max(there + 1_000 - sent, there - came));
}

/** The time of the server at a time of this browser. */
export const thereAt = (here: number) => here + ahead;

/** The time of the server. */
export const now = () => thereAt(Date.now());

/** What was read so long after a moment is what was then, however far the clocks are put right. */
const FINAL_MS = 2_000;

/** Whether an answer that came at a time of this browser holds all that there was at a moment of the server. */
export const isFinal = (moment: number, came: number) => thereAt(came) > moment + FINAL_MS;
