import { describe, expect, test } from "vitest";

import type { CostView } from "../src/api/types";
import { costByDay, demandAhead, folded, SERIES_MAX, stacked, stepsFrom } from "../src/lib/charts";
import { separated, tableOf, typeOf } from "../src/lib/table";
import { shownAs } from "../src/ui/preview";

const row = (day: string, project: string, cost: number): CostView => ({ day, project, workflow: `${project}/w`, site: "a", kind: "compute", cost, actions: 1, hours: 1, gb: 0 });

describe("costs by day", () => {
  const today = Date.parse("2026-01-10T13:00:00Z");
  test("have every day, in UTC, the dearest series first", () => {
    const { at, series } = costByDay([row("2026-01-10", "x", 1), row("2026-01-08", "y", 5), row("2026-01-10", "x", 2), row("2025-12-01", "z", 9), row("2026-01-09", "n", 0)], "project", 3, today);
    expect(at.map((seconds) => new Date(seconds * 1000).toISOString().slice(0, 10))).toEqual(["2026-01-08", "2026-01-09", "2026-01-10"]);
    expect(series).toEqual([
      { name: "y", values: [5, 0, 0] },
      { name: "x", values: [0, 0, 3] },
    ]);
  });

  test("fold what is small into one, and lose nothing of the sum", () => {
    const many = Array.from({ length: 9 }, (_, index) => ({ name: `p${index}`, values: [index, 1] }));
    const shown = folded(many);
    expect(shown).toHaveLength(SERIES_MAX);
    expect(shown.at(-1)!.name).toBe("4 others");
    const all = (series: { values: number[] }[]) => series.flatMap(({ values }) => values).reduce((sum, value) => sum + value, 0);
    expect(all(shown)).toBe(all(many));
    expect(stacked(shown).at(-1)!.values).toEqual([36, 9]);
  });
});

describe("what is to come and what was", () => {
  test("begins with the next hour, and never below nothing", () => {
    const ahead = demandAhead({ project: "p", site: "s", hours_seen: 9, coverage: 1, judged: 1, core_hours: [[-0.5, 1, 2], [0, 2, 4]] }, Date.parse("2026-01-01T10:20:00Z"));
    expect(ahead.at.map((seconds) => new Date(seconds * 1000).toISOString())).toEqual(["2026-01-01T11:00:00.000Z", "2026-01-01T12:00:00.000Z"]);
    expect([ahead.low, ahead.mid, ahead.high]).toEqual([[0, 0], [1, 2], [2, 4]]);
    expect(stepsFrom("2026-01-01T00:00:00Z", 60, 3).map((seconds) => seconds % 3600)).toEqual([0, 60, 120]);
  });
});

describe("a table in a file", () => {
  test("is read by the rules of separated values", () => {
    expect(separated('a,b\r\n"x, ""y""",2\n\n"two\nlines",', ",", false).rows).toEqual([["a", "b"], ['x, "y"', "2"], ["two\nlines", ""]]);
    // A row that was cut off is not shown as if it were whole.
    expect(separated("a,b\n1,2\n3", ",", true).rows).toEqual([["a", "b"], ["1", "2"]]);
  });

  test("has typed columns, and markup in it is text", () => {
    const table = tableOf("scores.csv", "id,when,ok,note\n1,2026-01-01,true,<img src=x onerror=alert(1)>\n2.5,2026-01-02T10:00:00Z,false,\n", false)!;
    expect(table.columns.map((column) => column.type)).toEqual(["number", "date", "boolean", "text"]);
    expect(table.rows[0]![3]).toBe("<img src=x onerror=alert(1)>");
    expect(tableOf("x.tsv", "a\tb\n1\t2\n", false)!.rows).toEqual([["1", "2"]]);
    expect(tableOf("x.jsonl", '{"a":1}\n{"a":2,"b":{"c":3}}\n{"a":', true)!.rows).toEqual([["1", ""], ["2", '{"c":3}']]);
    expect(tableOf("x.jsonl", "no json\n", false)).toBeNull();
    expect(tableOf("x.json", '[{"a":1}]', false)!.columns).toEqual([{ name: "a", type: "number" }]);
    expect(tableOf("x.json", '{"a":1}', false)).toBeNull();
    expect(typeOf(["1", "x"])).toBe("text");
    expect(typeOf(["", ""])).toBe("text");
  });

  test("is long and wide: the first rows are shown, and that there are more is said", () => {
    const table = tableOf("x.csv", `n\n${Array.from({ length: 5_000 }, (_, index) => index).join("\n")}\n`, false)!;
    expect([table.rows.length, table.cut]).toEqual([200, true]);
  });

  test("and what a file is shown as goes by its name and size", () => {
    expect(["a.PNG", "report.html", "rows.csv", "notes.md", "model.onnx"].map((name) => shownAs(name, 10))).toEqual(["picture", "page", "table", "text", null]);
    expect(shownAs("a.png", 1 << 30)).toBeNull();
    expect(shownAs("rows.csv", 1 << 30)).toBe("table");
  });
});
