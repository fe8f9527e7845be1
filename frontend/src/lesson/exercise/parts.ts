// The smaller parts of a panel: hints and solution, and the foot with the attempts and the learner's file.

import { announce, make, makeButton } from "../../dom.ts";
import { count } from "../../words.ts";
import { showHtml } from "./html.ts";
import type { ExerciseInfo, ExerciseState } from "./types.ts";
import { ATTEMPT_WORDS, sayMoment, SIGNS } from "./words.ts";

export class Hints {
  readonly element = make("div", { class: "exercise-help" });
  readonly buttons: HTMLButtonElement[];
  private readonly list = make("ol", { class: "exercise-hints", "aria-label": "Hints" });
  private readonly hintButton: HTMLButtonElement;
  private readonly solutionButton: HTMLButtonElement;

  constructor(
    private readonly info: ExerciseInfo,
    actions: { askHint(): void; askSolution(): void },
  ) {
    this.hintButton = makeButton("Hint", actions.askHint, { class: "quiet-button" });
    this.solutionButton = makeButton("Solution", actions.askSolution, { class: "quiet-button" });
    this.buttons = [this.hintButton, this.solutionButton];
    this.element.append(this.list);
  }

  show(state: ExerciseState): void {
    const seen = state.hints.length;
    const total = this.info.num_hints;
    this.hintButton.hidden = total === 0;
    this.hintButton.disabled = seen >= total;
    this.hintButton.textContent = seen >= total ? "No more hints" : `Hint (${seen + 1} of ${total})`;
    // Those that stand there stay: what is being read is not replaced.
    while (this.list.children.length > seen) this.list.lastChild?.remove();
    for (const html of state.hints.slice(this.list.children.length)) {
      const number = this.list.children.length + 1;
      this.list.append(
        make(
          "li",
          { tabindex: -1 },
          make("p", { class: "hint-title" }, `Hint ${number} of ${total}`),
          showHtml("div", html),
        ),
      );
    }
    this.list.hidden = seen === 0;
  }

  focusLast(): void {
    (this.list.lastElementChild as HTMLElement | null)?.focus();
  }

  showSolution(html: string): void {
    this.element.querySelector(".exercise-solution")?.remove();
    const place = make(
      "details",
      { class: "exercise-solution", open: true },
      make("summary", {}, "A solution; yours may differ and be right"),
      showHtml("div", html),
    );
    this.element.append(place);
    place.querySelector("summary")?.focus();
  }
}

export class Foot {
  readonly element = make("div", { class: "exercise-foot" });
  readonly resetButton: HTMLButtonElement;
  private readonly attempts = make("details", { class: "exercise-attempts", hidden: true });
  private readonly path = make("code", { class: "exercise-path" });

  constructor(private readonly actions: { restore(attempt: string): void; reset(): void; prepare(): Promise<void> }) {
    this.resetButton = makeButton("Reset", actions.reset, { class: "quiet-button", title: "Begin again" });
    const copy = makeButton("Copy path", () => void this.copyPath(copy), { class: "quiet-button" });
    const file = make("p", { class: "exercise-file" }, "Your file: ", this.path, " ", copy, " Edit it in your own editor; this page follows.");
    this.element.append(this.attempts, file);
  }

  show(state: ExerciseState): void {
    this.path.textContent = state.path;
    const items = state.attempts.map((attempt) => {
      const moment = sayMoment(attempt.at);
      const word = ATTEMPT_WORDS[attempt.status];
      const back = makeButton("Bring back", () => this.actions.restore(attempt.id), {
        class: "quiet-button",
        "aria-label": `Bring back the text of ${moment}`,
      });
      return make(
        "li",
        {},
        make("time", { datetime: attempt.at }, moment),
        " ",
        make("span", { class: "verdict-sign", "data-sign": attempt.status, "aria-hidden": "true" }, SIGNS[attempt.status]),
        make("span", { class: "attempt-word" }, word),
        " ",
        back,
      );
    });
    this.attempts.hidden = items.length === 0;
    this.attempts.replaceChildren(
      make("summary", {}, count(items.length, "attempt")),
      make("ol", { reversed: true }, ...items),
    );
  }

  private async copyPath(button: HTMLButtonElement): Promise<void> {
    // Missing where the course is served to another machine over http.
    const clipboard = navigator.clipboard as Clipboard | undefined;
    try {
      if (!clipboard) throw new Error("no clipboard");
      await this.actions.prepare();
      await clipboard.writeText(this.path.textContent ?? "");
      button.textContent = "Copied";
      announce("Path copied.");
    } catch {
      button.textContent = "Select it and copy by hand";
    }
  }
}
