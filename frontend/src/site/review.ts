// The review: one question at a time, how far, and at the end what comes next.

import { get } from "../api.ts";
import { announce, make, makeButton } from "../dom.ts";
import { startExercises } from "../lesson/exercise/start.ts";
import { openQuestions, type QuestionView } from "../lesson/quiz_question.ts";
import { count } from "../words.ts";

interface Exercise {
  title: string;
  minutes: number;
  url: string;
}

interface ReviewState {
  due: number;
  exercises: Exercise[];
  next: { at: string; words: string; questions: number } | null;
}

export function startReview(root: HTMLElement): void {
  if (root.dataset["again"] !== undefined) startAgain();
  const holder = root.querySelector<HTMLElement>("[data-review-questions]");
  if (!holder) return;
  const progress = root.querySelector<HTMLElement>("[data-review-progress]");
  const views: QuestionView[] = openQuestions(holder, { review: true, onAnswered: () => showNext() });
  let at = 0;
  if (views.length === 0) return;
  root.dataset["live"] = "";

  const next = makeButton("Next", () => goOn(), { class: "primary" });
  const line = make("p", { class: "review-next", hidden: true }, next);
  holder.after(line);

  function showOne(): void {
    for (const [number, view] of views.entries()) view.element.hidden = number !== at;
    if (progress) {
      progress.hidden = false;
      const bar = progress.querySelector("progress");
      if (bar) {
        bar.max = views.length;
        bar.value = at;
      }
      const words = progress.querySelector("[data-review-words]");
      if (words) words.textContent = `Question ${at + 1} of ${views.length}`;
    }
    line.hidden = true;
    next.textContent = at + 1 < views.length ? "Next" : "Finish";
  }

  function showNext(): void {
    line.hidden = false;
    next.focus();
    const bar = progress?.querySelector("progress");
    if (bar) bar.value = at + 1;
  }

  function goOn(): void {
    at += 1;
    if (at < views.length) {
      showOne();
      views[at]?.focus();
      views[at]?.element.scrollIntoView({ block: "nearest" });
      announce(`Question ${at + 1} of ${views.length}.`);
    } else void end();
  }

  async function end(): Promise<void> {
    const right = views.filter((view) => view.result?.right).length;
    for (const view of views) view.element.hidden = true;
    line.remove();
    progress?.remove();
    const state = await get<ReviewState>("/api/review").catch(() => null);
    const heading = make("h2", { tabindex: -1 }, `${right} of ${views.length} right`);
    const pieces: (HTMLElement | null)[] = [heading];
    if (right < views.length) {
      pieces.push(make("p", {}, "What was not right comes back soon; the others wait longer each time."));
    } else pieces.push(make("p", {}, "Each of them waits longer now before it comes back."));
    if (state && state.due > 0) {
      pieces.push(
        make("p", {}, make("a", { class: "button", href: "/review" }, `${count(state.due, "more question")} due`)),
      );
    } else if (state?.next) pieces.push(make("p", {}, sayNext(state.next)));
    holder?.append(make("section", { class: "review-end" }, ...pieces));
    const exercises = root.querySelector<HTMLElement>("[data-review-exercises]");
    if (exercises) exercises.hidden = false;
    heading.focus();
    announce(heading.textContent ?? "");
  }

  document.addEventListener("keydown", (event) => {
    const view = views[at];
    if (!view || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.documentElement.dataset["keys"] === "off") return;
    if (event.target instanceof HTMLElement && event.target.matches("input, textarea, select")) return;
    if (view.choose(event.key)) event.preventDefault();
  });
  showOne();
}

/** The page of an exercise that has come back: its panel, as in the lesson. */
function startAgain(): void {
  const text = document.getElementById("review-data")?.textContent;
  if (!text) return;
  const data = JSON.parse(text) as Parameters<typeof startExercises>[0];
  startExercises(data);
}

function sayNext(next: { words: string; questions: number }): string {
  const what = next.questions > 0 ? count(next.questions, "question") : "a short exercise";
  return `Nothing else is due. Next: ${what} ${next.words}.`;
}
