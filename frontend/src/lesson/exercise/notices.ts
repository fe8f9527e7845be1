// The boxes that ask the learner to choose: two texts in conflict, the solution, a reset.

import { make, makeButton } from "../../dom.ts";
import { diffLines } from "./diff.ts";

const SIDES = { mine: ["−", "yours"], theirs: ["+", "theirs"], same: [" ", ""], gap: ["⋯", ""] } as const;

const MOST_LINES = 200;

export interface Choice {
  label: string;
  act(): void;
}

/** A question with buttons; the first is what it asks about. */
export function renderQuestion(words: string, choices: Choice[]): HTMLElement {
  return make(
    "div",
    { class: "exercise-notice", role: "group", "aria-label": words },
    make("p", {}, words),
    make("p", { class: "notice-buttons" }, ...choices.map(({ label, act }) => makeButton(label, act))),
  );
}

/** Both texts of a conflict, line by line, and the choice between them. */
export function renderConflict(
  moment: string,
  mine: string,
  theirs: string,
  actions: { takeTheirs(): void; keepMine(): void },
): HTMLElement {
  const element = renderQuestion(`Changed in another editor at ${moment}, while this page has text of its own.`, [
    { label: "Take theirs", act: actions.takeTheirs },
    { label: "Keep mine (theirs is kept in history)", act: actions.keepMine },
  ]);
  element.classList.add("exercise-conflict");
  const all = diffLines(mine, theirs);
  const rows = all.slice(0, MOST_LINES).map(({ side, text }) => {
    const [sign, whose] = SIDES[side];
    return make(
      "span",
      { class: `diff-line diff-${side}` },
      make("span", { "aria-hidden": "true" }, `${sign} `),
      whose !== "" && make("span", { class: "visually-hidden" }, `${whose}: `),
      text,
      "\n",
    );
  });
  const legend = make("p", { class: "diff-legend" }, "− only in yours, here", make("br"), "+ only in theirs, in the file");
  const lines = make("pre", { class: "exercise-diff", tabindex: 0, role: "region", "aria-label": "Yours and theirs compared" }, ...rows);
  if (all.length > MOST_LINES) lines.append(`⋯ and ${all.length - MOST_LINES} lines more`);
  element.children[0]?.after(legend, lines);
  return element;
}
