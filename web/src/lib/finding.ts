// Finding by words: what a person types is looked for word by word, wherever it stands.

/** Whether every word of what is typed stands in a text, in any order and whatever the case. */
export function matches(text: string, words: string): boolean {
  const within = text.toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => within.includes(word));
}

/** The first so many that match, those that begin with what is typed before the others. */
export function found<T>(items: readonly T[], words: string, text: (item: T) => string, most: number): T[] {
  const start = words.trim().toLowerCase();
  const all = items.filter((item) => matches(text(item), words));
  const isFirst = (item: T) => start !== "" && text(item).toLowerCase().startsWith(start);
  return [...all.filter(isFirst), ...all.filter((item) => !isFirst(item))].slice(0, most);
}
