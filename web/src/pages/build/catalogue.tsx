// What a node can be: added from here.

import { useWorkflows } from "../../api/queries";
import type { TaskView } from "../../api/types";
import { typeWords } from "../../lib/types";
import { KINDS, type Kind } from "./document";

/** What a task takes and gives, in a line. */
const signature = ({ inputs, outputs }: TaskView) => {
  const ports = (schema: TaskView["inputs"]) => Object.entries(schema?.properties ?? {}).map(([name, port]) => `${name}: ${typeWords(port)}`).join(", ");
  return `takes ${ports(inputs) || "nothing"}; gives ${ports(outputs) || "nothing"}`;
};

type Props = { names: string[]; tasks: TaskView[]; add: (kind: Kind, of?: string) => void };

export function Catalogue({ names, tasks, add }: Props) {
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
      {tasks.length > 0 ? <h2 className="mb-1 mt-3 px-2 text-faint">Flyte tasks</h2> : null}
      {tasks.map((task) => (
        <button key={`${task.project} ${task.domain} ${task.name}`} type="button" className={item} title={`${task.name} of ${task.project}, ${task.domain}: ${signature(task)}`} onClick={() => add("task", task.name)}>
          {task.name}
          {tasks.some((other) => other !== task && other.name === task.name) ? <span className="block text-tiny text-faint">{task.project}, {task.domain}</span> : null}
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
