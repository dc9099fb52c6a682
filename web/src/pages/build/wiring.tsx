// Wiring without a pointer: the node that comes after, out of a list.

import { useState } from "react";

import { Button } from "../../ui/kit";
import { Dialog } from "../../ui/dialog";

type Props = { from: string; to: string[]; onWire: (to: string) => void; onClose: () => void };

export function WireDialog({ from, to, onWire, onClose }: Props) {
  const [chosen, choose] = useState(to[0] ?? "");
  return (
    <Dialog title={`Wire ${from} to`} onClose={onClose}>
      {to.length === 0 ? (
        <p className="text-soft">There is no other node that could run after it.</p>
      ) : (
        <form
          className="flex items-end gap-3"
          onSubmit={(event) => {
            event.preventDefault();
            onWire(chosen);
            onClose();
          }}
        >
          <label className="flex-1">
            <span className="mb-1 block text-soft">The node that runs after it</span>
            <select autoFocus value={chosen} onChange={(event) => choose(event.target.value)} className="w-full rounded-md border border-edge bg-surface px-3 py-1.5">
              {to.map((id) => (
                <option key={id}>{id}</option>
              ))}
            </select>
          </label>
          <Button look="primary" type="submit">
            Wire
          </Button>
        </form>
      )}
    </Dialog>
  );
}
