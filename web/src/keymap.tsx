// The keyboard map as a page of its own in a dialog.

import { KEY_MAP } from "./lib/keys";
import { Dialog } from "./ui/dialog";

export function KeyMap({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose} wide>
      <div className="grid gap-x-10 gap-y-5 sm:grid-cols-2">
        {KEY_MAP.map((group) => (
          <section key={group.where}>
            <h3 className="mb-1 font-medium">{group.where}</h3>
            <dl className="grid grid-cols-[8rem_1fr] gap-x-3 gap-y-1">
              {group.keys.map((known) => (
                <div key={known.keys} className="contents">
                  <dt>
                    <kbd className="font-mono text-small">{known.keys}</kbd>
                  </dt>
                  <dd className="text-soft">{known.does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
