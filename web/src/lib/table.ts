// Tables out of text: comma- and tab-separated values, and JSON line by line. Nothing of a cell is ever markup; columns are given a type by what
// stands in them, for how they are aligned and read.

export type Column = { name: string; type: "number" | "boolean" | "date" | "text" };
export type Table = { columns: Column[]; rows: string[][]; cut: boolean };

/** Rows that are shown. */
export const ROWS_MAX = 200;
const COLUMNS_MAX = 50;

/** Fields of separated values by RFC 4180: quotes may hold separators, line ends and doubled quotes. What is not whole at the end is left out
 * when `cut` says that there was more. */
export function separated(text: string, separator: string, cut: boolean, most = ROWS_MAX + 1): { rows: string[][]; more: boolean } {
  const rows: string[][] = [];
  let row: string[] = [];
  let field = "";
  let quoted = false;
  let begun = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]!;
    if (quoted) {
      if (char !== '"') field += char;
      else if (text[at + 1] === '"') {
        field += '"';
        at += 1;
      } else quoted = false;
    } else if (char === '"' && field === "") {
      quoted = true;
      begun = true;
    } else if (char === separator) {
      row.push(field);
      field = "";
      begun = true;
    } else if (char === "\n" || char === "\r") {
      if (char === "\r" && text[at + 1] === "\n") at += 1;
      if (begun || field !== "") {
        rows.push([...row, field]);
        if (rows.length >= most) return { rows, more: at + 1 < text.length || cut };
      }
      row = [];
      field = "";
      begun = false;
    } else {
      field += char;
      begun = true;
    }
  }
  if ((begun || field !== "") && !cut) rows.push([...row, field]);
  return { rows, more: cut };
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const DATE = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/;

/** The type that all values of a column have which are there. */
export function typeOf(values: string[]): Column["type"] {
  const there = values.filter((value) => value !== "");
  if (there.length === 0) return "text";
  if (there.every((value) => NUMBER.test(value))) return "number";
  if (there.every((value) => /^(true|false)$/i.test(value))) return "boolean";
  if (there.every((value) => DATE.test(value))) return "date";
  return "text";
}

function typed(names: string[], rows: string[][], cut: boolean): Table {
  const shown = rows.slice(0, ROWS_MAX);
  const columns = names.slice(0, COLUMNS_MAX).map((name, index) => ({ name, type: typeOf(shown.map((row) => row[index] ?? "")) }));
  return { columns, rows: shown.map((row) => columns.map((_, index) => row[index] ?? "")), cut: cut || rows.length > shown.length || names.length > COLUMNS_MAX };
}

const written = (value: unknown) => (value === undefined || value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));

/** A table out of objects; none when they are something else. */
function ofObjects(items: unknown[], cut: boolean): Table | null {
  const objects = items.filter((item): item is Record<string, unknown> => typeof item === "object" && item !== null && !Array.isArray(item));
  if (objects.length === 0 || objects.length < items.length) return null;
  const names = [...new Set(objects.flatMap((item) => Object.keys(item)))];
  return typed(names, objects.map((item) => names.map((name) => written(item[name]))), cut);
}

/** The table in a file of this name whose text, or the beginning of it, this is; none when it holds none. */
export function tableOf(name: string, text: string, cut: boolean): Table | null {
  const end = name.toLowerCase().split(".").at(-1);
  if (end === "csv" || end === "tsv") {
    const { rows, more } = separated(text.replace(/^\uFEFF/, ""), end === "tsv" ? "\t" : ",", cut);
    const [head, ...rest] = rows;
    return head ? typed(head, rest, more) : null;
  }
  if (end === "jsonl" || end === "ndjson") {
    const lines = text.split("\n").slice(0, cut ? -1 : undefined).filter((line) => line.trim() !== "");
    try {
      return ofObjects(lines.slice(0, ROWS_MAX + 1).map((line) => JSON.parse(line) as unknown), cut || lines.length > ROWS_MAX);
    } catch {
      return null;
    }
  }
  if (end === "json" && !cut) {
    try {
      const parsed = JSON.parse(text) as unknown;
      return Array.isArray(parsed) ? ofObjects(parsed, false) : null;
    } catch {
      return null;
    }
  }
  return null;
}
