// What a reader sketches, without the page: heights along a curve, levels of a table, and how both are kept.

export type Height = number | null;
export type Level = number | null;

/** A stroke from one place to another: every place between gets a height on the straight line. */
export function stroke(heights: Height[], from: number, start: number, to: number, end: number): Height[] {
  const next = [...heights];
  const step = from <= to ? 1 : -1;
  for (let at = from; at !== to + step; at += step) {
    const share = from === to ? 1 : (at - from) / (to - from);
    if (at >= 0 && at < next.length) next[at] = start + share * (end - start);
  }
  return next;
}

/** The height of the sketch at a place: drawn there, or on the line between its drawn neighbours; else null. */
export function heightAt(heights: Height[], at: number): Height {
  const here = heights[at];
  if (here !== null && here !== undefined) return here;
  let [before, after] = [at - 1, at + 1];
  while (before >= 0 && heights[before] === null) before -= 1;
  while (after < heights.length && heights[after] === null) after += 1;
  const [left, right] = [heights[before], heights[after]];
  if (left === null || left === undefined || right === null || right === undefined) return null;
  return left + ((at - before) / (after - before)) * (right - left);
}

/** Where a key starts that meets no sketch: the drawn height nearest to the place; null where there is none. */
export function nearestHeight(heights: Height[], at: number): Height {
  for (let away = 0; away < heights.length; away += 1) {
    for (const place of [at - away, at + away]) {
      const found = heights[place];
      if (found !== null && found !== undefined) return found;
    }
  }
  return null;
}

export const countDrawn = (heights: Height[]): number => heights.filter((height) => height !== null).length;

/** The place whose x is nearest. */
export function nearestPlace(xs: number[], x: number): number {
  let best = 0;
  xs.forEach((place, at) => {
    if (Math.abs(place - x) < Math.abs((xs[best] as number) - x)) best = at;
  });
  return best;
}

/** The cells that a drag passes on its way: the pointer may jump over some. */
export function cellsBetween(from: [number, number], to: [number, number]): [number, number][] {
  const steps = Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1);
  return Array.from({ length: steps + 1 }, (_, step) => [
    Math.round(from[0] + ((to[0] - from[0]) * step) / steps),
    Math.round(from[1] + ((to[1] - from[1]) * step) / steps),
  ]);
}

/** A table with some cells painted. */
export function paint(table: Level[][], cells: [number, number][], level: Level): Level[][] {
  const next = table.map((row) => [...row]);
  for (const [row, column] of cells) {
    const line = next[row];
    if (line && column >= 0 && column < line.length) line[column] = level;
  }
  return next;
}

/** The level nearest to a value of the run. */
export function levelOf(value: number | null | undefined, [low, high]: [number, number], count: number): Level {
  if (value === null || value === undefined || !Number.isFinite(value)) return null;
  const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
  return Math.round(share * (count - 1));
}

// --- kept over a reload -----------------------------------------------------------------------------------------

const PREFIX = "nn2llm-sketch:";

interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** The page's own store; null where the page may not keep anything. */
export function pageStore(): Store | null {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}

/** A short name for what the chart asks, so that another chart never gets this sketch. */
export const keyOf = (name: string, ...parts: unknown[]): string => `${PREFIX}${name || JSON.stringify(parts)}`;

export function keep(store: Store | null, key: string, sketch: Height[] | Level[][] | null): void {
  try {
    if (sketch === null) store?.removeItem(key);
    else store?.setItem(key, JSON.stringify(sketch));
  } catch {
    // a full or forbidden store: the sketch lives as long as the page
  }
}

function recall(store: Store | null, key: string): unknown {
  try {
    return JSON.parse(store?.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

const isHeight = (value: unknown): value is Height =>
  value === null || (typeof value === "number" && Number.isFinite(value));

/** A kept curve that fits: as many places, heights inside the range. */
export function recallCurve(store: Store | null, key: string, count: number, [low, high]: [number, number]): Height[] | null {
  const found = recall(store, key);
  if (!Array.isArray(found) || found.length !== count || !found.every(isHeight)) return null;
  return found.every((height) => height === null || (height >= low && height <= high)) ? found : null;
}

/** A kept table that fits: as many rows and columns, levels that exist. */
export function recallTable(store: Store | null, key: string, rows: number, columns: number, levels: number): Level[][] | null {
  const found = recall(store, key);
  const fits =
    Array.isArray(found) &&
    found.length === rows &&
    found.every(
      (row) =>
        Array.isArray(row) &&
        row.length === columns &&
        row.every((level) => level === null || (Number.isInteger(level) && level >= 0 && level < levels)),
    );
  return fits ? (found as Level[][]) : null;
}
