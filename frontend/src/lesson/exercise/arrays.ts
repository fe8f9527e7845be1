// Arrays as small tables: shape, dtype, the places of rows and columns, and the first difference marked.
//
// The values come as text: the server has chosen as many digits as show what differs.

import { make } from "../../dom.ts";
import { sayShape } from "../../words.ts";
import type { ArrayEvidence } from "./types.ts";

const REST = "…";

export function renderArrays(arrays: readonly ArrayEvidence[]): HTMLElement {
  return make("div", { class: "evidence-arrays" }, ...arrays.map(renderArray));
}

/** The numbers over the columns (or beside the rows); none over what stands for the rest. */
export function numberPlaces(count: number, isRest: (at: number) => boolean): string[] {
  return Array.from({ length: count }, (_, at) => (isRest(at) ? "" : String(at)));
}

function renderArray(array: ArrayEvidence): HTMLElement {
  const rows = array.values;
  const marked = new Set(array.marked.map((place) => place.join()));
  const columns = numberPlaces(rows[0]?.length ?? 0, (at) => rows.every((row) => row[at] === REST));
  const numbers = numberPlaces(rows.length, (at) => rows[at]?.every((value) => value === REST) ?? false);
  const isVector = array.shape.length < 2;
  const head = make("tr", {}, !isVector && make("td"), ...columns.map((name) => make("th", { scope: "col" }, name)));
  const body = rows.map((row, at) =>
    make(
      "tr",
      {},
      !isVector && make("th", { scope: "row" }, numbers[at] ?? ""),
      ...row.map((value, column) => renderValue(value, marked.has(`${at},${column}`))),
    ),
  );
  const shape = `${sayShape(array.shape)}${array.dtype ? ` ${array.dtype}` : ""}`;
  const table = make(
    "table",
    { class: "evidence-array" },
    make("caption", {}, make("strong", {}, array.label), " ", make("span", {}, shape)),
    array.shape.length > 0 && make("thead", {}, head),
    make("tbody", {}, ...body),
  );
  return make("div", { class: "array-wrap", tabindex: 0, role: "group", "aria-label": `${array.label}, ${shape}` }, table);
}

function renderValue(text: string, isFirstDifference: boolean): HTMLElement {
  if (!isFirstDifference) return make("td", {}, text);
  // A frame, a sign and words: not colour alone.
  return make(
    "td",
    { class: "first-difference" },
    make("span", { "aria-hidden": "true" }, "▸ "),
    text,
    make("span", { class: "visually-hidden" }, " (first difference)"),
  );
}
