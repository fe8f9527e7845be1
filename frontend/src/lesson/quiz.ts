// The questions of a lesson: answers of before come back, a prediction is sent first and then its cell runs.

import { get } from "../api.ts";
import { make } from "../dom.ts";
import type { CellView } from "./cell.ts";
import type { LessonData } from "./protocol.ts";
import { openQuestions, type QuestionView } from "./quiz_question.ts";
import type { Result, SavedResult } from "./quiz_types.ts";
import type { Session } from "./session.ts";

/** A cell that runs longer goes on; the answer is shown without it. */
const WAIT_MS = 120_000;
/** What was printed last is drawn with the next frame. */
const DRAWN_MS = 150;
const SHOWN_LINES = 6;

/** What other parts of the page listen to: `new CustomEvent(ANSWERED, { detail: Result })` at the document. */
export const ANSWERED = "nn2llm-answered";

export function startQuizzes(data: LessonData, session: Session): void {
  const views = openQuestions(document, {
    page: data.slug,
    run: (view) => runPrediction(view, session),
    onAnswered: (_, result) => {
      noteCells(views, session);
      document.dispatchEvent(new CustomEvent<Result>(ANSWERED, { detail: result }));
    },
  });
  if (views.length === 0) return;
  noteCells(views, session);
  for (const lesson of new Set(views.map((view) => view.lesson))) void restore(views, lesson, data.slug, session);
}

async function restore(
  views: readonly QuestionView[],
  lesson: string,
  page: string,
  session: Session,
): Promise<void> {
  const path = `/api/quiz/${lesson}?page=${encodeURIComponent(page)}`;
  const { questions } = await get<{ questions: Record<string, SavedResult> }>(path).catch(() => ({ questions: {} }));
  for (const view of views) {
    const saved = view.lesson === lesson ? (questions as Record<string, SavedResult>)[view.id] : undefined;
    // Whoever was quicker than the server keeps what they chose.
    if (saved && !view.isAnswered && view.answer === null) view.restore(saved);
  }
  noteCells(views, session);
}

/** "Predict first" at each cell whose prediction is still open; running it all the same is not forbidden. */
function noteCells(views: readonly QuestionView[], session: Session): void {
  for (const view of views) {
    if (view.cell === null) continue;
    const cell = session.cell(view.cell);
    if (!cell) continue;
    const note = cell.element.querySelector(`.predict-note[data-for="${CSS.escape(view.id)}"]`);
    if (view.isAnswered) note?.remove();
    else if (!note) {
      const link = make("a", { href: `#${view.element.id}` }, "Predict first");
      cell.element.prepend(make("p", { class: "predict-note", "data-for": view.id }, link, ", then run this cell."));
    }
  }
}

async function runPrediction(view: QuestionView, session: Session): Promise<HTMLElement | null> {
  const cell = session.cell(view.cell ?? "");
  if (!cell) return null;
  // The server first runs the cells above that define what it needs.
  if (!session.runCell(cell)) return null;
  await untilFinished(cell);
  await new Promise((resolve) => setTimeout(resolve, DRAWN_MS));
  const lines = cell.outputs.text.trimEnd().split("\n").slice(-SHOWN_LINES);
  return make(
    "figure",
    { class: "came-out" },
    make("figcaption", {}, "What came out", cell.isEdited ? " (of the cell as you changed it)" : ""),
    make("pre", { tabindex: 0 }, lines.join("\n") || "nothing was printed"),
  );
}

function untilFinished(cell: CellView): Promise<void> {
  return new Promise((resolve) => {
    let started = false;
    const look = () => {
      if (cell.isActive) started = true;
      else if (started) finish();
    };
    const observer = new MutationObserver(look);
    const timer = setTimeout(finish, WAIT_MS);
    function finish(): void {
      clearTimeout(timer);
      observer.disconnect();
      resolve();
    }
    observer.observe(cell.element, { attributes: true, attributeFilter: ["data-status", "aria-busy"] });
    look();
  });
}
