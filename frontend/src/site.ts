// Every page: theme and font size, search as you type, help with the keys; on some the settings, on home the
// training of the first model.

import { startAppearance } from "./site/appearance.ts";
import { startHelp } from "./site/help.ts";
import { startSearch } from "./site/search.ts";
import { awaitMachineCheck, startImport, startMachineCheck, startSettings } from "./site/settings.ts";

startAppearance();
startSearch();
startHelp();

const settings = document.querySelector<HTMLFormElement>("form[data-settings]");
if (settings) startSettings(settings);
const file = document.querySelector<HTMLInputElement>("input[data-import]");
if (file) startImport(file);
const check = document.querySelector<HTMLButtonElement>("button[data-machine-check]");
if (check) startMachineCheck(check);
if (document.querySelector("[data-machine-running]")) awaitMachineCheck();
const training = document.querySelector<HTMLElement>("[data-training]");
if (training) void import("./site/training.ts").then(({ startTraining }) => startTraining(training));
const outcomes = document.querySelector<HTMLElement>("[data-outcomes]");
if (outcomes) void import("./site/outcomes.ts").then(({ startOutcomes }) => startOutcomes(outcomes));
const review = document.querySelector<HTMLElement>("[data-review]");
if (review) void import("./site/review.ts").then(({ startReview }) => startReview(review));
// Lessons draw their formulas themselves; the glossary has some too.
if (!document.getElementById("lesson-data") && document.querySelector(".math[data-tex]")) {
  void import("./lesson/mathematics.ts").then(({ renderMathematics }) => renderMathematics());
}
