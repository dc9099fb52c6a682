// That something is there which may not be seen: what it carries, and who may see it.

import type { WithheldView } from "../api/types";
import { Said } from "./kit";
import { Tags } from "./tags";

export function Withheld({ what }: { what: WithheldView }) {
  return (
    <div className="rounded-md border border-dashed border-line px-4 py-3">
      <p className="font-medium">◌ There are values, and you may not see them</p>
      <p className="mt-1">
        They carry <Tags tags={what.label} />
      </p>
      <p className="mt-1 text-soft">
        <Said text={what.why} />
        {what.roles.length > 0 ? `. May see them: ${what.roles.join(", ")}` : ""}
      </p>
    </div>
  );
}
