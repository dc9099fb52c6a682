// Drawing a wire: what goes along it, what the rules say, and what could stand in between.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { wiring, type Beside, type Edit, type Forbidden, type Remedy, type RefusedStep } from "../../api/editing";
import { Button, Failed, Loading, Said } from "../../ui/kit";
import { Dialog } from "../../ui/dialog";
import { Tags } from "../../ui/tags";
import { besideKey } from "./past";
import { freeName, inputsOf, outputsOf, reading, takesOf, wireAfter, wireData, wiredTo, type Callable, type Doc } from "./document";

/** What the rules say about wires from a node. Asked when one begins to be drawn, and kept while the text is the same. */
export function useWires(text: string, beside: Beside, from: string | undefined) {
  return useQuery({ queryKey: ["policy", "wires", besideKey(beside), text, from], queryFn: () => wiring(text, beside, from), enabled: from !== undefined, staleTime: 30_000 });
}

/** The nodes to which nothing of what a node gives may be wired, with the refusal. */
export function barred(gives: { field?: string | null }[], forbidden: Forbidden[]): Record<string, Forbidden> {
  const found: Record<string, Forbidden> = Object.create(null);
  for (const wire of forbidden) {
    const of = forbidden.filter((other) => other.to === wire.to).length;
    if (of === gives.length) found[wire.to] = wire;
  }
  return found;
}

type Props = { text: string; doc: Doc; beside: Beside; callable: Callable; from: string; to: string; onWire: (edits: Edit[]) => void; onClose: () => void };

export function DrawDialog({ text, doc, beside, callable, from, to, onWire, onClose }: Props) {
  const wires = useWires(text, beside, from);
  const taken = inputsOf(doc, to);
  const after = wireAfter(doc, from, to);
  const [chosen, choose] = useState<string>();
  const [refused, setRefused] = useState<RefusedStep[]>([]);
  const [error, setError] = useState<unknown>(null);
  const fields = outputsOf(doc, from, callable);
  // A node that says what it gives is read by field; another as a whole.
  const offered = (fields.length > 0 ? fields : [""]).filter(() => taken !== null);
  const field = chosen ?? offered[0] ?? "after";
  // Of a file whose errors are in no node nothing could be looked at.
  const nothing = wires.data?.checked === false && wires.data.steps.length === 0;
  const unread = [from, to].filter((id) => nothing || wires.data?.left_out.includes(id));
  const of = (name: string) => (wires.data?.gives ?? []).find((one) => (one.field ?? "") === name)?.label ?? [];
  const bar = (name: string) => wires.data?.forbidden.find((wire) => wire.to === to && (wire.field ?? "") === name);
  const wire = async (edits: (Edit | null)[]) => {
    const made = edits.filter((edit) => edit !== null);
    try {
      // The text as it would be is what counts; what was said before was about the wire alone.
      const after = await wiring(text, beside, undefined, made);
      const before = new Set((await wiring(text, beside)).refused.map((step) => `${step.path} ${step.label.join()}`));
      const more = after.refused.filter((step) => !before.has(`${step.path} ${step.label.join()}`));
      setRefused(more);
      if (more.length > 0) return;
      onWire(made);
      onClose();
    } catch (broken) {
      setError(broken);
    }
  };
  return (
    <Dialog title={`What goes from ${from} to ${to}?`} onClose={onClose} wide>
      {wires.error || error ? <Failed error={wires.error ?? error} /> : null}
      {wires.isPending ? (
        <Loading what="the rules" />
      ) : (
        <div className="space-y-4">
          {unread.length > 0 ? (
            <p role="status" className="text-warn">
              ◌ {unread.join(" and ")} {unread.length === 1 ? "has" : "have"} an error, or {unread.length === 1 ? "reads" : "read"} what has one. Until that is mended the rules cannot say what goes along this wire, nor whether it may be: they are asked again when the file checks, and before it is saved.
            </p>
          ) : null}
          <fieldset className="divide-y divide-line rounded-md border border-line">
            <legend className="sr-only">What goes along the wire</legend>
            {offered.map((name) => (
              <label key={name} className="flex items-center gap-3 px-3 py-2">
                <input type="radio" name="field" checked={field === name} onChange={() => choose(name)} />
                <span className="font-mono text-code">{name || "all it gives"}</span>
                <Tags tags={of(name)} />
                {bar(name) ? <span className="ml-auto text-bad">✕ refused by policy</span> : null}
              </label>
            ))}
            {after ? (
              <label className="flex items-center gap-3 px-3 py-2">
                <input type="radio" name="field" checked={field === "after"} onChange={() => choose("after")} />
                <span>
                  nothing: {to} only runs after {from}
                </span>
              </label>
            ) : null}
          </fieldset>
          {field === "after" ? (
            <Button look="primary" disabled={!after} onClick={() => void wire([after])}>
              Wire
            </Button>
          ) : bar(field) ? (
            <Refusal wire={bar(field)!} onRemedy={(remedy) => void wire(remedied(doc, from, field || null, to, remedy))} />
          ) : (
            <AsInput key={field} there={inputsOf(doc, to) ?? []} takes={takesOf(doc, to, callable)} to={to} field={field} onWire={(name) => void wire([wireData(doc, from, field || null, to, name)])} />
          )}
          {refused.length > 0 ? <Refusals steps={refused} /> : null}
        </div>
      )}
    </Dialog>
  );
}

/** The edits that put a sanitizer in between, or read what one gives already. */
export function remedied(doc: Doc, from: string, field: string | null, to: string, remedy: Remedy): (Edit | null)[] {
  const name = field ?? remedy.field ?? from;
  if (remedy.existing) return [wireData(doc, remedy.existing, remedy.field ?? null, to, name)];
  const node = freeName(doc, remedy.sanitizer);
  const value = wiredTo(remedy.insert, reading(from, field));
  return [{ op: "add", node, value, below: from }, wireData(doc, node, remedy.field ?? null, to, name)];
}

function AsInput({ there, takes, to, field, onWire }: { there: string[]; takes: string[]; to: string; field: string; onWire: (name: string) => void }) {
  // What takes one thing takes this as that, whatever it is called where it comes from.
  const [name, setName] = useState(takes.includes(field) || takes.length !== 1 ? field || "value" : takes[0]!);
  return (
    <form
      className="flex items-end gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        onWire(name);
      }}
    >
      <label className="flex-1">
        <span className="mb-1 block text-soft">As the input of {to}</span>
        <input list="inputs-there" value={name} onChange={(event) => setName(event.target.value)} className="w-full rounded-md border border-edge bg-surface px-3 py-1.5 font-mono" />
        <datalist id="inputs-there">
          {takes.map((known) => (
            <option key={known} value={known} />
          ))}
        </datalist>
      </label>
      <Button look="primary" type="submit" disabled={!/^[A-Za-z_]\w*$/.test(name)}>
        {there.includes(name) ? "Replace what it reads" : "Wire"}
      </Button>
    </form>
  );
}

/** Why a wire may not be, where its data may be read, and what could stand in between. */
function Refusal({ wire, onRemedy }: { wire: Forbidden; onRemedy: (remedy: Remedy) => void }) {
  return (
    <div role="alert" className="space-y-3 rounded-md border border-bad p-4">
      <Why step={wire.refused} />
      <p>
        {wire.allowed_at.length > 0 ? (
          <>
            The rules let it be read at <strong>{wire.allowed_at.join(", ")}</strong>.
          </>
        ) : (
          "The rules let it be read at no site that there is."
        )}
      </p>
      {wire.remedies.length === 0 ? <p className="text-soft">No approved sanitizer takes enough off for this step to have a place.</p> : null}
      <div className="flex flex-wrap gap-2">
        {wire.remedies.map((remedy) => (
          <Button key={`${remedy.sanitizer} ${remedy.existing}`} look="primary" onClick={() => onRemedy(remedy)}>
            {remedy.existing ? `Read it from ${remedy.existing} instead` : `Insert ${remedy.sanitizer} here`}
          </Button>
        ))}
      </div>
    </div>
  );
}

function Why({ step }: { step: RefusedStep }) {
  return (
    <>
      <p className="font-medium text-bad">
        ✕ {step.path} may run nowhere: what it would read carries <Tags tags={step.label} />
      </p>
      <ul className="space-y-0.5">
        {Object.entries(step.policies).map(([policy, because]) => (
          <li key={policy}>
            <span className="font-mono text-code">{policy}</span>
            {because ? `: ${because}` : ""}
          </li>
        ))}
      </ul>
      <ul className="text-soft">
        {Object.entries(step.trails).map(([tag, trail]) => (
          <li key={tag}>
            {tag}: {trail.join(" → ")}
          </li>
        ))}
        {step.closest.map((site) => (
          <li key={site.site}>
            {site.site}: <Said text={site.why} />
          </li>
        ))}
        {step.notes.map((note) => (
          <li key={note}>
            <Said text={note} />
          </li>
        ))}
      </ul>
    </>
  );
}

export function Refusals({ steps }: { steps: RefusedStep[] }) {
  return (
    <div role="alert" className="space-y-3 rounded-md border border-bad p-4">
      {steps.map((step) => (
        <div key={step.path}>
          <Why step={step} />
        </div>
      ))}
    </div>
  );
}
