// The lesson page: what a reader sees first is the server's HTML; this adds mathematics, editors and live cells.

import { report } from "./api.ts";
import { distanceFromView, takeBreath } from "./dom.ts";
import type { CellView } from "./lesson/cell.ts";
import { startExercises } from "./lesson/exercise/start.ts";
import { startNotes } from "./lesson/notes.ts";
import type { LessonData } from "./lesson/protocol.ts";
import { startQuizzes } from "./lesson/quiz.ts";
import { startReading } from "./lesson/reading.ts";
import { startRoutes } from "./lesson/route.ts";
import { watchScrollers } from "./lesson/scrollers.ts";
import { Session } from "./lesson/session.ts";
import { startSitting } from "./lesson/sitting.ts";
import { Toolbar } from "./lesson/toolbar.ts";
import { startWords } from "./lesson/words.ts";

const NEAR = "600px 0px";

// Asked for at once, so that they travel while the rest starts.
const mathematics = import("./lesson/mathematics.ts");
const editor = import("./lesson/editor.ts");

function start(): void {
  const holder = document.getElementById("lesson-data");
  if (!holder?.textContent) return;
  const data = JSON.parse(holder.textContent) as LessonData;
  const scrollers = watchScrollers();
  void mathematics.then(({ renderMathematics }) => renderMathematics()).then(scrollers.check);
  const session: Session = new Session(data, {
    onKernel: (kernel) => toolbar.showKernel(kernel),
    onConnection: (open) => toolbar.showConnection(open),
    onTrouble: (sentence) => toolbar.say(sentence),
    onActivity: (active, drawing) => {
      toolbar.showActivity(active, drawing);
      scrollers.check();
    },
  });
  const toolbar: Toolbar = new Toolbar({
    runAll: () => session.runAll(),
    restart: () => session.restart(),
    stop: () => session.stop(),
  });
  startRoutes(data.route, (route) => report("/api/settings", { route }));
  void editor.then(() => mountEditors(session.cells));
  watchFigures(session);
  startReading(data.slug);
  startNotes(data.slug);
  startQuizzes(data, session);
  startWords(data);
  startSitting(data);
  startExercises(data);
}

/** Editors in view first, then the rest in short slices; those in closed folds when they open. */
async function mountEditors(cells: readonly CellView[]): Promise<void> {
  const open: CellView[] = [];
  for (const cell of cells) {
    const fold = cell.element.closest<HTMLDetailsElement>("details:not([open])");
    if (fold) fold.addEventListener("toggle", () => void cell.mount(), { once: true });
    else open.push(cell);
  }
  const tops = new Map(open.map((cell) => [cell, distanceFromView(cell.element)]));
  open.sort((a, b) => (tops.get(a) ?? 0) - (tops.get(b) ?? 0));
  const breathe = takeBreath();
  for (const cell of open) {
    await cell.mount();
    await breathe();
  }
}

/** Tell the server which figures and checks come near the window, so that it runs those first. */
function watchFigures(session: Session): void {
  const waiting: string[] = [];
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const id = (target as HTMLElement).dataset["cell"];
        if (!isIntersecting || id === undefined) continue;
        observer.unobserve(target);
        waiting.push(id);
      }
      if (waiting.length > 0) session.tellVisible(waiting.splice(0));
    },
    { rootMargin: NEAR },
  );
  for (const cell of session.cells) if (!cell.isLearners) observer.observe(cell.element);
}

start();
