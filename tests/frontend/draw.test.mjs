// What a reader sketches: strokes, bridges, painted cells, and how they are kept over a reload.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  cellsBetween,
  countDrawn,
  heightAt,
  keep,
  keyOf,
  levelOf,
  nearestHeight,
  nearestPlace,
  paint,
  recallCurve,
  recallTable,
  stroke,
} from "../../frontend/src/widgets/parts/draw_sketch.ts";

class Store {
  kept = {};
  getItem(key) {
    return this.kept[key] ?? null;
  }
  setItem(key, value) {
    this.kept[key] = value;
  }
  removeItem(key) {
    delete this.kept[key];
  }
}

test("a stroke sets every place it passes, both ways, and leaves the rest", () => {
  const empty = [null, null, null, null, null];
  assert.deepEqual(stroke(empty, 1, 10, 3, 20), [null, 10, 15, 20, null]);
  assert.deepEqual(stroke(empty, 3, 20, 1, 10), [null, 10, 15, 20, null]);
  assert.deepEqual(stroke([1, 2, 3], 1, 9, 1, 7), [1, 7, 3]);
  assert.deepEqual(stroke([1, 2, 3], 1, 5, 4, 8), [1, 5, 6]);
  assert.deepEqual(empty, [null, null, null, null, null]);
});

test("places between drawn ones lie on the line; beyond them there is no height", () => {
  const sketch = [null, 4, null, null, 1, null];
  assert.deepEqual([0, 1, 2, 3, 4, 5].map((at) => heightAt(sketch, at)), [null, 4, 3, 2, 1, null]);
  assert.equal(nearestHeight(sketch, 0), 4);
  assert.equal(nearestHeight(sketch, 5), 1);
  assert.equal(nearestHeight([null, null], 0), null);
  assert.equal(countDrawn(sketch), 2);
});

test("the nearest place wins, also at the ends", () => {
  assert.deepEqual([-3, 0.4, 0.6, 2, 99].map((x) => nearestPlace([0, 1, 2], x)), [0, 0, 1, 2, 2]);
});

test("a quick drag paints the cells that the pointer jumped over", () => {
  assert.deepEqual(cellsBetween([0, 0], [0, 3]), [[0, 0], [0, 1], [0, 2], [0, 3]]);
  assert.deepEqual(cellsBetween([2, 2], [0, 0]), [[2, 2], [1, 1], [0, 0]]);
  assert.deepEqual(cellsBetween([1, 1], [1, 1]).at(-1), [1, 1]);
});

test("painting copies, and what lies outside is not painted", () => {
  const table = [[null, 0], [1, null]];
  assert.deepEqual(paint(table, [[0, 0], [1, 1], [5, 0], [0, -1], [0, 2]], 3), [[3, 0], [1, 3]]);
  assert.deepEqual(paint(table, [[1, 0]], null), [[null, 0], [null, null]]);
  assert.deepEqual(table, [[null, 0], [1, null]]);
});

test("the level of a value of the run", () => {
  assert.deepEqual([0, 0.16, 0.17, 0.5, 1, 7, -2].map((v) => levelOf(v, [0, 1], 4)), [0, 0, 1, 2, 3, 3, 0]);
  assert.equal(levelOf(null, [0, 1], 4), null);
  assert.equal(levelOf(-1, [-1, 1], 3), 0);
});

test("a sketch comes back after a reload, and only where it fits", () => {
  const store = new Store();
  const key = keyOf("rates", "ignored");
  assert.notEqual(keyOf("", "loss", [0, 1]), keyOf("", "loss", [0, 2]));
  keep(store, key, [null, 0.5, 1]);
  assert.deepEqual(recallCurve(store, key, 3, [0, 1]), [null, 0.5, 1]);
  assert.equal(recallCurve(store, key, 4, [0, 1]), null);
  assert.equal(recallCurve(store, key, 3, [0, 0.9]), null);
  keep(store, key, [[0, null], [1, 2]]);
  assert.deepEqual(recallTable(store, key, 2, 2, 3), [[0, null], [1, 2]]);
  assert.equal(recallTable(store, key, 2, 2, 2), null);
  assert.equal(recallTable(store, key, 2, 3, 3), null);
  assert.equal(recallCurve(store, key, 2, [0, 1]), null);
  keep(store, key, null);
  assert.equal(recallTable(store, key, 2, 2, 3), null);
});

test("a store that is missing, full or holds rubbish is no harm", () => {
  const full = { getItem: () => "{not json", setItem: () => { throw new Error("full"); }, removeItem() {} };
  keep(full, "k", [1]);
  keep(null, "k", [1]);
  assert.equal(recallCurve(full, "k", 1, [0, 1]), null);
  assert.equal(recallCurve(null, "k", 1, [0, 1]), null);
});
