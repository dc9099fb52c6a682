// Settings of this browser: the token, and how the page looks.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { token } from "../api/client";
import { setClock, useClock, type Clock } from "../lib/clock";
import { setTheme, theme, type Theme } from "../lib/theme";
import { changeToken } from "../signin";
import { Button, Card, PageHead } from "../ui/kit";

const CLOCKS: [Clock, string][] = [
  ["local", `this browser's zone (${Intl.DateTimeFormat().resolvedOptions().timeZone})`],
  ["utc", "UTC"],
];

export function SettingsPage() {
  const time = useClock();
  const queries = useQueryClient();
  const [value, setValue] = useState("");
  const [known, setKnown] = useState(() => token() !== null);
  const [look, setLook] = useState<Theme>(theme());
  const save = (next: string | null) => {
    void changeToken(queries, next);
    setKnown(next !== null);
    setValue("");
  };
  return (
    <>
      <PageHead title="Settings" />
      <div className="grid grid-cols-1 gap-4 lg:grid-cols-2">
        <Card title="Signed in with a token">
          <form
            className="space-y-3 p-4"
            onSubmit={(event) => {
              event.preventDefault();
              if (value.trim()) save(value.trim());
            }}
          >
            <p className="text-soft">
              A server on this machine's own address asks for none. Elsewhere an administrator makes one with{" "}
              <code className="font-mono text-code">tutti token create</code>. It is kept in this tab only.
            </p>
            <label className="block">
              <span className="mb-1 block text-soft">Token</span>
              <input type="password" autoComplete="off" value={value} onChange={(event) => setValue(event.target.value)} className="w-full rounded-md border border-edge bg-surface px-3 py-1.5 font-mono" />
            </label>
            <div className="flex gap-2">
              <Button look="primary" type="submit" disabled={!value.trim()}>
                Use this token
              </Button>
              {known ? <Button onClick={() => save(null)}>Forget the token</Button> : null}
            </div>
          </form>
        </Card>
        <Card title="Look">
          <fieldset className="flex gap-4 p-4">
            <legend className="sr-only">Theme</legend>
            {(["system", "light", "dark"] as const).map((choice) => (
              <label key={choice} className="flex items-center gap-2">
                <input
                  type="radio"
                  name="theme"
                  checked={look === choice}
                  onChange={() => {
                    setTheme(choice);
                    setLook(choice);
                  }}
                />
                {choice}
              </label>
            ))}
          </fieldset>
        </Card>
        <Card title="Times">
          <fieldset className="flex flex-wrap gap-4 p-4">
            <legend className="sr-only">Which time is written</legend>
            {CLOCKS.map(([choice, words]) => (
              <label key={choice} className="flex items-center gap-2">
                <input type="radio" name="clock" checked={time === choice} onChange={() => setClock(choice)} />
                {words}
              </label>
            ))}
          </fieldset>
          <p className="px-4 pb-4 text-soft">The other one stands in the tip of every time. Days of costs and budgets are those of UTC.</p>
        </Card>
      </div>
    </>
  );
}
