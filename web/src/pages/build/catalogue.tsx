// What a node can be: added from here.

import { useWorkflows } from "../../api/queries";
import { KINDS, type Kind } from "./document";

export function Catalogue({ names, add }: { names: string[]; add: (kind: Kind, of?: string) => void }) {
  const workflows = useWorkflows().data ?? [];
  const item = "block w-full truncate rounded-md px-2 py-1 text-left hover:bg-sunken";
  return (
    <nav aria-label="Catalogue" className="overflow-y-auto border-r border-line bg-raised p-3">
      <h2 className="mb-1 px-2 text-faint">Add a node</h2>
      {KINDS.filter((kind) => kind !== "use" && kind !== "workflow" && kind !== "task").map((kind) => (
        <button key={kind} type="button" className={item} onClick={() => add(kind)}>
          {kind}
        </button>
      ))}
      <h2 className="mb-1 mt-3 px-2 text-faint">Connectors</h2>
      {names.map((name) => (
        <button key={name} type="button" className={item} title={name} onClick={() => add("use", name)}>
          {name}
        </button>
      ))}
      <h2 className="mb-1 mt-3 px-2 text-faint">Workflows</h2>
      {workflows.map((workflow) => (
        <button key={workflow.name} type="button" className={item} title={workflow.name} onClick={() => add("workflow", workflow.name)}>
          {workflow.name}
        </button>
      ))}
    </nav>
  );
}
