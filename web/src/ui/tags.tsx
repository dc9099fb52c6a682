// A label as it is shown: each tag with its colour and its name.

import { tagColour } from "../lib/tags";

export function Tags({ tags, none = "no tags" }: { tags: string[]; none?: string }) {
  if (tags.length === 0) return <span className="text-faint">{none}</span>;
  return (
    <span className="inline-flex flex-wrap gap-1">
      {tags.map((tag) => (
        <span key={tag} className="rounded border px-1.5 text-small font-medium" style={{ color: tagColour(tag), borderColor: tagColour(tag) }}>
          {tag}
        </span>
      ))}
    </span>
  );
}
