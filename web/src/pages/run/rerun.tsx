// Repeating a run: as it was, or with other inputs, whole or from a node on.

import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { post, segment } from "../../api/client";
import { useWorkflow } from "../../api/queries";
import type { JsonSchema, RunView } from "../../api/types";
import { Dialog } from "../../ui/dialog";
import { Form, formOf, missing, type FormValue } from "../../ui/form";
import { Button, Failed } from "../../ui/kit";

type Props = { run: RunView; node?: string; label: string; look?: "primary" | "plain" };

/** A button that repeats a run. What stands upstream of `node` is reused; without a node, what succeeded is. */
export function Rerun({ run, node, label, look = "plain" }: Props) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button look={look} onClick={() => setOpen(true)} aria-haspopup="dialog">
        {label}
      </Button>
      {open ? (
        <Dialog title={node ? `Run again from ${node}` : `Repeat ${run.name}`} onClose={() => setOpen(false)}>
          <Inputs run={run} node={node} done={() => setOpen(false)} />
        </Dialog>
      ) : null}
    </>
  );
}

function Inputs({ run, node, done }: { run: RunView; node?: string; done: () => void }) {
  const navigate = useNavigate();
  const workflow = useWorkflow(run.workflow);
  const before = (run.inputs ?? {}) as FormValue;
  const [values, setValues] = useState<FormValue>(before);
  const changed = Object.keys({ ...before, ...values }).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(values[name]));
  const repeat = useMutation({
    mutationFn: () =>
      post<RunView>(`/api/v1/runs/${segment(run.name)}/rerun`, {
        from: node ? [node] : [],
        ...(changed.length > 0 ? { inputs: values } : {}),
      }),
    onSuccess: (answer) => {
      done();
      void navigate({ to: "/runs/$run", params: { run: answer.name }, search: {} });
    },
  });
  const schema: JsonSchema = workflow.data?.graph ? formOf(workflow.data.graph) : {};
  const lacking = missing(schema, values);
  return (
    <>
      <p className="mb-4 text-soft">
        {node
          ? `What stands upstream of ${node} is reused, the rest runs again.`
          : changed.length > 0
            ? "With other inputs everything runs again. To reuse what stands upstream of a node, choose that node and run again from there."
            : "What succeeded is reused; what failed, and what did not come to run, runs."}
      </p>
      <Form schema={schema} values={values} onChange={setValues} />
      {repeat.error ? <Failed error={repeat.error} /> : null}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={done}>Leave it</Button>
        <Button look="primary" disabled={repeat.isPending || lacking.length > 0} onClick={() => repeat.mutate()}>
          Start
        </Button>
      </div>
    </>
  );
}
