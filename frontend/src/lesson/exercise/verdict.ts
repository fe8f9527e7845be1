// The verdict: evidence first, what it means one key away, the learner's own traceback, what they printed.

import { make, makeButton } from "../../dom.ts";
import { renderError } from "../../outputs/error.ts";
import { count, sayDuration } from "../../words.ts";
import { renderArrays } from "./arrays.ts";
import { showHtml } from "./html.ts";
import type { Check, Evidence, ExerciseState, Verdict, VerdictError } from "./types.ts";
import { sayCheck, SIGNS, VERDICT_WORDS } from "./words.ts";

export interface VerdictActions {
  /** Back to what is being written. */
  leave(): void;
  /** Show a line of the learner's code; absent where there is no code. */
  goToLine?(line: number): void;
}

/** The element that shows it. It takes the focus; `d` opens the diagnosis, Escape goes back to the work. */
export function renderVerdict(verdict: Verdict, state: ExerciseState, actions: VerdictActions): HTMLElement {
  const word = VERDICT_WORDS[verdict.status];
  const checks = verdict.checks.map((check) => renderCheck(check));
  const messageClass = listSaysIt(verdict) ? "verdict-message visually-hidden" : "verdict-message";
  const element = make(
    "div",
    { class: "exercise-verdict", "data-status": verdict.status, tabindex: -1, role: "group", "aria-label": `Verdict: ${word}` },
    make("p", { class: "verdict-head" }, sign(verdict.status), make("strong", {}, word), sayHow(verdict, state)),
    verdict.message_html !== "" && showHtml("div", verdict.message_html, { class: messageClass }),
    verdict.part_html !== null && showHtml("div", verdict.part_html, { class: "verdict-part" }),
    verdict.error && renderOwnError(verdict.error, actions),
    checks.length > 0 && make("ol", { class: "verdict-checks", "aria-label": "Checks" }, ...checks),
    ...(verdict.warnings ?? []).map((warning) => make("p", { class: "verdict-warning" }, "Warning: ", warning)),
    verdict.printed !== "" && renderPrinted(verdict),
    !state.last_is_current && renderOldNote(),
  );
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "d") {
      const buttons = [...element.querySelectorAll<HTMLButtonElement>(".diagnosis-button")];
      buttons.forEach((button) => button.click());
      buttons[0]?.focus();
    } else if (event.key === "Escape") actions.leave();
    else return;
    event.preventDefault();
  });
  return element;
}

export function renderOldNote(): HTMLElement {
  return make("p", { class: "verdict-old" }, "This is about an earlier text of yours; it has changed since.");
}

/** What a screen reader hears when it has come: the words of `element`, without its marks. */
export function sayVerdict(verdict: Verdict, element: HTMLElement): string {
  const message = element.querySelector(".verdict-message")?.textContent.trim() ?? "";
  const hasMore = verdict.checks.some((check) => check.diagnosis_html) ? "Press d for the likely cause." : "";
  return [`${VERDICT_WORDS[verdict.status]}.`, message, hasMore].filter(Boolean).join(" ");
}

function sayHow(verdict: Verdict, state: ExerciseState): string {
  // How long it took is of use only where somebody waited.
  const time = verdict.elapsed_s < 1 ? "" : ` in ${sayDuration(verdict.elapsed_s)}`;
  if (verdict.status !== "passed") return time;
  return `${time}, ${state.unaided ? "done unaided" : "with the solution seen"}`;
}

/** Whether the list of checks says all that the message says, and shows it better. */
function listSaysIt({ status, error, checks }: Verdict): boolean {
  if (error) return false;
  if (status === "failed") return checks.some((check) => check.status === "failed" && isTelling(check.evidence));
  return status === "unfinished" && checks.some((check) => check.status === "not run" && check.field !== null);
}

function isTelling(evidence: Evidence | null): boolean {
  if (!evidence) return false;
  const { returned, expected, arrays = [], lines = [] } = evidence;
  return lines.length > 0 || arrays.length > 0 || (typeof returned === "string" && typeof expected === "string");
}

function sign(status: Verdict["status"] | Check["status"]): HTMLElement {
  return make("span", { class: "verdict-sign", "data-sign": status, "aria-hidden": "true" }, SIGNS[status]);
}

function renderCheck(check: Check): HTMLElement {
  return make(
    "li",
    { class: "verdict-check", "data-status": check.status },
    make(
      "p",
      { class: "check-head" },
      sign(check.status),
      make("span", { class: "check-word" }, sayCheck(check)),
      " ",
      showHtml("span", check.title_html, { class: "check-title" }),
    ),
    check.evidence && check.status === "failed" && renderEvidence(check.evidence, check.field !== null),
    check.diagnosis_html !== null && check.diagnosis_html !== "" && renderDiagnosis(check.diagnosis_html),
  );
}

/** What was called and what came back; of a form's field: what it gives (what was written stands in it). */
function renderEvidence(evidence: Evidence, isField: boolean): HTMLElement {
  const { called, returned, expected, arrays = [], lines_html = [], difference } = evidence;
  const lines =
    lines_html.length > 0 &&
    make("ul", { class: "evidence-lines" }, ...lines_html.map((html) => showHtml("li", html)));
  const values = isField
    ? [lines, renderValues([["yours gives", returned], ["expected", expected]])]
    : [renderValues([["called", called], ["returned", returned], ["expected", expected]]), lines];
  return make(
    "div",
    { class: "evidence" },
    ...values,
    arrays.length > 0 && renderArrays(arrays),
    difference ? make("p", { class: "evidence-difference" }, difference) : null,
  );
}

function renderValues(rows: [string, string | null | undefined][]): HTMLElement | null {
  const said = rows.filter((row): row is [string, string] => typeof row[1] === "string" && row[1] !== "");
  if (said.length === 0) return null;
  return make(
    "dl",
    { class: "evidence-values" },
    ...said.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, make("code", {}, text))]),
  );
}

function renderDiagnosis(html: string): HTMLElement {
  const text = showHtml("div", html, { class: "diagnosis", hidden: true });
  const button = makeButton(
    "What went wrong?",
    () => {
      text.hidden = !text.hidden;
      button.setAttribute("aria-expanded", String(!text.hidden));
    },
    { class: "diagnosis-button", "aria-expanded": "false", title: "Name the mistake (key d)" },
  );
  button.append(" ", make("kbd", { "aria-hidden": "true" }, "d"));
  return make("div", { class: "diagnosis-box" }, button, text);
}

function renderOwnError(error: VerdictError, actions: VerdictActions): HTMLElement {
  const frames = error.frames.map((frame) => ({ ...frame, mine: true }));
  const shown = renderError(
    { kind: "error", name: error.name, message: error.message, frames, tensors: error.tensors ?? [], text: "" },
    () => {},
  );
  const { line } = error;
  const goToLine = actions.goToLine?.bind(actions);
  if (line !== null && goToLine) {
    shown.append(makeButton(`Go to line ${line}`, () => goToLine(line), { class: "go-to-line" }));
  }
  // The error's styles are those of a cell's output.
  return make("div", { class: "output" }, shown);
}

function renderPrinted(verdict: Verdict): HTMLElement {
  const lines = verdict.printed.replace(/\n$/, "").split("\n").length;
  return make(
    "details",
    { class: "verdict-printed" },
    make("summary", {}, `Your code printed ${count(lines, "line")}${verdict.cut ? " and more, which was cut" : ""}`),
    make("pre", { tabindex: 0, role: "region", "aria-label": "What your code printed" }, verdict.printed),
  );
}
