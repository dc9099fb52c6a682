// A person's word for what they looked at, or the end of it.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { vouch } from "../../api/governance";
import { Button, Failed, Said } from "../../ui/kit";

type Props = { kind: "sanitizer" | "policy"; name: string; digest: string };

/** The word is for exactly this digest: when it is another by now, the server does not take it. */
export function Vouch({ kind, name, digest }: Props) {
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const said = useMutation({
    mutationFn: (revoke: boolean) => vouch({ kind, name, digest, reason }, revoke),
    onSuccess: () => {
      setReason("");
      void queries.invalidateQueries({ queryKey: ["policy"] });
    },
  });
  return (
    <div className="mt-3">
      <div className="flex flex-wrap items-end gap-2">
        <label className="min-w-60 flex-1">
          <span className="mb-1 block text-soft">Reason</span>
          <input value={reason} onChange={(event) => setReason(event.target.value)} placeholder="read, and tested on the sample of July" className="w-full rounded-md border border-edge bg-surface px-3 py-1.5" />
        </label>
        <Button look="primary" disabled={said.isPending || reason.trim() === ""} onClick={() => said.mutate(false)}>
          Approve
        </Button>
        <Button look="danger" disabled={said.isPending || reason.trim() === ""} onClick={() => said.mutate(true)} title="takes back what you approved; what was taken off stays off">
          Revoke
        </Button>
      </div>
      <p className="mt-1 text-faint">
        For exactly <code className="break-all font-mono text-small">{digest}</code>
      </p>
      {said.data ? (
        <p role="status" className={said.data.in_force ? "text-good" : "text-warn"}>
          {said.data.in_force ? "●" : "◌"} <Said text={said.data.standing.join("; ")} />
        </p>
      ) : null}
      {said.error ? <Failed error={said.error} /> : null}
    </div>
  );
}
