// Tags have a colour and always their name beside it: nothing is told by colour alone.

const COLOURS = 6;

/** The colour of a tag, the same on every page. */
export function tagColour(tag: string): string {
  let hash = 0;
  for (const character of tag) hash = (hash * 31 + character.codePointAt(0)!) >>> 0;
  return `var(--tag-${hash % COLOURS})`;
}
