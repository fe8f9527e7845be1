// The pure parts of an exercise's panel: two editors, differences of texts, values, words.
import assert from "node:assert/strict";
import { test } from "node:test";

import { numberPlaces } from "../../frontend/src/lesson/exercise/arrays.ts";
import { diffLines } from "../../frontend/src/lesson/exercise/diff.ts";
import { packValues, sayValues } from "../../frontend/src/lesson/exercise/form_body.ts";
import { packDraft, TextSync, unpackDraft } from "../../frontend/src/lesson/exercise/sync.ts";
import { countWords, parseNumber, sayCheck, sayMoment, sayStatus } from "../../frontend/src/lesson/exercise/words.ts";

const disk = (version, text) => ({ version, text });

test("a page without changes takes a new text at once", () => {
  const sync = new TextSync(disk("1", "a"));
  assert.equal(sync.see(disk("1", "a")), "nothing");
  assert.equal(sync.see(disk("2", "b")), "taken");
  assert.deepEqual([sync.text, sync.base, sync.isDirty], ["b", "2", false]);
});

test("a page with changes keeps them and has a conflict", () => {
  const sync = new TextSync(disk("1", "a"));
  sync.text = "mine";
  assert.equal(sync.see(disk("2", "theirs")), "conflict");
  assert.equal(sync.text, "mine");
  assert.equal(sync.beginSave(), null);
  assert.equal(sync.see(disk("3", "theirs again")), "conflict");
  sync.keepMine();
  assert.deepEqual(sync.beginSave(), { text: "mine", version: "3" });
});

test("taking theirs gives mine back to the caller", () => {
  const sync = new TextSync(disk("1", "a"));
  sync.text = "mine";
  sync.see(disk("2", "theirs"));
  assert.equal(sync.takeTheirs(), "mine");
  assert.deepEqual([sync.text, sync.base, sync.isDirty, sync.conflict], ["theirs", "2", false, null]);
});

test("the same text from elsewhere is no conflict, and neither is one that was taken back there", () => {
  const sync = new TextSync(disk("1", "a"));
  sync.text = "b";
  assert.equal(sync.see(disk("2", "b")), "nothing");
  assert.deepEqual([sync.base, sync.isDirty], ["2", false]);
  sync.text = "mine";
  sync.see(disk("3", "c"));
  assert.equal(sync.see(disk("2", "b")), "nothing");
  assert.deepEqual(sync.beginSave(), { text: "mine", version: "2" });
});

test("what is typed while a save travels is still to be saved", () => {
  const sync = new TextSync(disk("1", "a"));
  sync.text = "b";
  const sent = sync.beginSave();
  sync.text = "bc";
  assert.equal(sync.beginSave(), null);
  sync.keep(sent.text, "2");
  sync.endSave();
  assert.deepEqual(sync.beginSave(), { text: "bc", version: "2" });
});

test("a draft there and back; what is no draft is none", () => {
  assert.deepEqual(unpackDraft(packDraft('x = "1"', "v")), { text: 'x = "1"', base: "v" });
  for (const bad of [null, "", "{", "3", "null", '{"text":1,"base":"v"}']) assert.equal(unpackDraft(bad), null);
});

test("a difference shows the lines of each side and two around them", () => {
  const theirs = "1\n2\n3\n4\nnew\n6\n7\n8\n9\n";
  assert.deepEqual(
    diffLines("1\n2\n3\n4\n5\n6\n7\n8\n9", theirs).map(({ side, text }) => `${side} ${text}`),
    ["gap ", "same 3", "same 4", "mine 5", "theirs new", "same 6", "same 7", "gap "],
  );
  assert.deepEqual(diffLines("a", "a"), [{ side: "gap", text: "" }]);
});

test("every difference gives both texts back, whatever they are", () => {
  let seed = 7;
  const draw = (n) => (seed = (seed * 16807) % 2147483647) % n;
  for (let round = 0; round < 200; round++) {
    const make = () => Array.from({ length: 1 + draw(4) }, () => "abc"[draw(3)]);
    const [mine, theirs] = [make(), make()];
    const lines = diffLines(mine.join("\n"), theirs.join("\n"));
    if (lines.some(({ side }) => side === "gap")) continue;
    const of = (other) => lines.filter(({ side }) => side !== other).map(({ text }) => text);
    assert.deepEqual(of("theirs"), mine);
    assert.deepEqual(of("mine"), theirs);
  }
});

test("long texts with nothing in common are compared at once", () => {
  const make = (word) => Array.from({ length: 5000 }, (_, at) => `${word} ${at}`).join("\n");
  assert.equal(diffLines(make("a"), make("b")).length, 10_000);
});

test("equal answers are equal texts, in the order of the fields", () => {
  const info = { fields: [{ name: "a" }, { name: "b" }] };
  assert.equal(packValues(info, { b: ["x"], a: 1, other: 2 }), '{"a":1,"b":["x"]}');
  assert.equal(packValues(info, {}), '{"a":null,"b":null}');
  assert.equal(sayValues('{"a":null,"b":["x","y"]}'), "a: (no answer)\nb: x, y");
});

test("numbers as people type them, and nothing else", () => {
  const good = { 12: 12, "−0.5": -0.5, " 3e-4 ": 3e-4, "1,200": 1200, "1 200 000": 1200000, ".5": 0.5, "7.": 7 };
  for (const [typed, value] of Object.entries(good)) assert.equal(parseNumber(typed), value, typed);
  for (const typed of ["", "x", "1,5", "0x10", "1e999", "--1", "1 2", "NaN"]) assert.equal(parseNumber(typed), null, typed);
});

test("columns have numbers, what stands for the rest has none", () => {
  assert.deepEqual(numberPlaces(3, (at) => at === 2), ["0", "1", ""]);
});

test("states and moments in words", () => {
  const state = (status, unaided, solution_seen) => sayStatus({ status, unaided, solution_seen });
  assert.equal(state("new", false, false), "");
  assert.equal(state("tried", false, true), "solution seen");
  assert.equal(state("passed", true, true), "✓ done unaided");
  assert.equal(state("passed", false, true), "✓ done, with the solution seen");
  assert.equal(sayCheck({ status: "not run", field: null }), "not run");
  assert.equal(sayCheck({ status: "not run", field: "rate" }), "no answer yet");
  const now = new Date(2026, 10, 23, 15, 0);
  assert.equal(sayMoment(new Date(2026, 10, 23, 14, 3).toISOString(), now), "14:03");
  assert.equal(sayMoment(new Date(2026, 10, 2, 9, 5).toISOString(), now), "2 Nov, 09:05");
  assert.equal(sayMoment(null, now), "an unknown time");
  assert.equal(countWords("  two  words\n"), 2);
});
