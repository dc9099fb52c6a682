// What is on the screen before the stream of events is up: whether something happened in between.

/** The header with the position of the journal: of an answer, up to which it holds everything; of a stream, after which it begins. */
const HEADER = "tutti-position";

/** Compares answers with the beginning of the stream. What was read after that is kept fresh by the stream itself. */
export class Beginning {
  private oldest = Infinity;
  private stream: number | undefined;
  private missed: () => void = () => {};

  /** An answer came that holds everything up to a position. */
  answered(position: number) {
    this.oldest = Math.min(this.oldest, position);
    this.look();
  }

  /** The stream tells what comes after a position; what lies before it and after an answer, nobody tells: `missed` is called. */
  begins(position: number, missed: () => void) {
    this.stream = position;
    this.missed = missed;
    this.look();
  }

  /** Everything is read again whatever was answered: what comes next is compared with the next beginning alone. The positions of a server
   * that has a shorter journal than the one before lie before all of the earlier ones. */
  forget() {
    this.oldest = Infinity;
    this.stream = undefined;
  }

  private look() {
    if (this.stream === undefined || this.oldest >= this.stream) return;
    // Everything is read again, and what is read again is new.
    this.oldest = Infinity;
    this.missed();
  }
}

export const beginning = new Beginning();

export function positionOf(response: Response): number | undefined {
  const text = response.headers.get(HEADER);
  return text === null ? undefined : Number(text);
}
