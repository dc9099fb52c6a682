// A dialog of the browser itself: it keeps the focus, closes on Escape, and needs no style that the page's policy forbids.

import { useEffect, useRef, type ReactNode } from "react";

type Props = { title: ReactNode; onClose: () => void; children: ReactNode; wide?: boolean };

/** Shown as long as it is mounted. */
export function Dialog({ title, onClose, children, wide = false }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current!;
    dialog.showModal();
    // What one came for, and not the way out, has the focus: the browser takes the first that there is.
    dialog.querySelector<HTMLElement>("[data-body] :is(input, select, textarea, button)")?.focus();
  }, []);
  return (
    <dialog
      ref={element}
      onClose={onClose}
      onClick={(event) => (event.target === element.current ? onClose() : undefined)}
      className={`m-auto mt-[10vh] max-h-[80vh] overflow-y-auto rounded-lg border border-line bg-raised p-0 text-ink shadow-xl backdrop:bg-black/40 ${wide ? "w-[min(920px,94vw)]" : "w-[min(560px,92vw)]"}`}
    >
      <div className="p-5">
        <div className="mb-2 flex items-start justify-between gap-4">
          <h2 className="text-base font-semibold">{title}</h2>
          <button type="button" aria-label="Close" className="text-soft hover:text-ink" onClick={onClose}>
            ✕
          </button>
        </div>
        <div data-body>{children}</div>
      </div>
    </dialog>
  );
}
