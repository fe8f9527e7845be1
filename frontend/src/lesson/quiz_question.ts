// One question: the server's form comes alive, an answer is sent, and each option says why.
//
// Used by the lesson's page (quiz.ts) and the review (site/review.ts). Right and wrong are told by word and sign,
// never by colour alone; the verdict is spoken.

import { post } from "../api.ts";
import { announce, make, makeButton } from "../dom.ts";
import { showHtml } from "./exercise/html.ts";
import type { Answer, Result, SavedResult } from "./quiz_types.ts";

/** What the server reads as a number: 1,234.5, −3, 25%, 2/3, 1e-3. */
const NUMBER = /^\s*[-+−]?[\d.][\d.,\s]*(?:e[-+]?\d+)?(?:\/[\d.]+)?\s*%?\s*$/i;

export interface QuestionOptions {
  /** It is asked in the review: the answer counts there, once. */
  review?: boolean;
  /** The slug of the page it stands on. */
  page?: string;
  /** Run the cell of a prediction; what came out, or null where it could not be run. */
  run?: (view: QuestionView) => Promise<HTMLElement | null>;
  onAnswered?: (view: QuestionView, result: Result) => void;
}

export class QuestionView {
  readonly id: string;
  readonly lesson: string;
  readonly kind: string;
  readonly cell: string | null;
  result: Result | null = null;
  private readonly form: HTMLFormElement;
  private readonly inputs: HTMLInputElement[];
  private readonly send: HTMLButtonElement;
  private readonly box: HTMLElement;
  private busy = false;

  constructor(
    readonly element: HTMLElement,
    form: HTMLFormElement,
    private readonly options: QuestionOptions = {},
  ) {
    this.id = element.dataset["question"] ?? "";
    this.lesson = element.dataset["lesson"] ?? "";
    this.kind = element.dataset["kind"] ?? "";
    this.cell = element.dataset["cell"] ?? null;
    this.form = form;
    this.inputs = [...form.querySelectorAll<HTMLInputElement>("input")];
    this.send = form.querySelector<HTMLButtonElement>("button[type=submit]") ?? make("button");
    this.box = element.querySelector<HTMLElement>(".question-result") ?? make("div");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    form.addEventListener("input", () => this.showReady());
    element.addEventListener("keydown", (event) => this.takeKey(event));
    this.showReady();
  }

  get isAnswered(): boolean {
    return this.result !== null;
  }

  /** What is chosen or typed; null: nothing yet. */
  get answer(): Answer | null {
    if (this.kind === "multiple") {
      const chosen = this.inputs.filter((input) => input.checked).map((input) => Number(input.value));
      return chosen.length > 0 ? chosen : null;
    }
    const [first] = this.inputs;
    if (first?.type === "radio") {
      const chosen = this.inputs.find((input) => input.checked);
      return chosen ? Number(chosen.value) : null;
    }
    const text = first?.value.trim() ?? "";
    return text === "" ? null : text;
  }

  /** Show an answer of before, as it was left. */
  restore(saved: SavedResult): void {
    this.fill(saved.answer);
    this.show(saved, saved.answer, null);
  }

  focus(): void {
    this.inputs[0]?.focus();
  }

  /** The keys 1 to 9 choose; true where one was taken. */
  choose(key: string): boolean {
    const input = this.inputs[Number(key) - 1];
    if (!/^[1-9]$/.test(key) || !input || input.disabled || input.type === "text") return false;
    input.focus();
    input.click();
    return true;
  }

  private takeKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || document.documentElement.dataset["keys"] === "off") return;
    const { target } = event;
    if (target instanceof HTMLInputElement && target.type === "text") return;
    if (this.choose(event.key)) event.preventDefault();
    // A checkbox takes Enter for nothing; a radio button's Enter sends the form by itself.
    else if (event.key === "Enter" && target instanceof HTMLInputElement && target.type === "checkbox") {
      event.preventDefault();
      if (!this.send.disabled) this.form.requestSubmit();
    }
  }

  private showReady(): void {
    this.send.disabled = this.busy || this.isAnswered || this.answer === null;
  }

  private async submit(): Promise<void> {
    const { answer } = this;
    if (answer === null || this.busy || this.isAnswered) return;
    if (this.kind === "number" && typeof answer === "string" && !NUMBER.test(answer)) {
      this.complain(`${answer} is no number. Type one like 0.25 or -3.`);
      return;
    }
    this.busy = true;
    this.showReady();
    this.form.setAttribute("aria-busy", "true");
    const { review, page } = this.options;
    try {
      const result = await post<Result>(`/api/quiz/${this.lesson}/${this.id}`, { answer, review: !!review, page });
      let shown: HTMLElement | null = null;
      if (this.options.run && this.cell !== null) {
        this.lock(true);
        this.say(make("p", { class: "question-wait" }, "Your prediction is kept. The cell runs …"));
        announce("Your prediction is kept. The cell runs.");
        shown = await this.options.run(this);
      }
      this.show(result, answer, shown);
      this.speak(result);
      // What had the focus is locked or gone; from here Tab leads on.
      this.box.tabIndex = -1;
      this.box.focus({ preventScroll: true });
      this.options.onAnswered?.(this, result);
    } catch (error) {
      this.lock(false);
      this.complain(error instanceof Error ? error.message : String(error));
    } finally {
      this.busy = false;
      this.form.removeAttribute("aria-busy");
      this.showReady();
    }
  }

  private show(result: Result, answer: Answer, shown: HTMLElement | null): void {
    this.result = result;
    this.lock(true);
    this.element.dataset["answered"] = result.right ? "right" : "wrong";
    const chosen = new Set(Array.isArray(answer) ? answer : typeof answer === "number" ? [answer] : []);
    for (const item of this.form.querySelectorAll<HTMLElement>("li[data-option]")) {
      const at = Number(item.dataset["option"]);
      const right = result.rights[at] ?? false;
      item.classList.add(right ? "is-right" : "is-wrong");
      if (chosen.has(at)) item.classList.add("is-chosen");
      const why = showHtml("div", result.whys[at] ?? "", { class: "why" });
      // "Not right" is for what was chosen: on the others it would blame a learner who was right.
      why.prepend(right || chosen.has(at) ? makeMark(right) : make("b", { class: "mark" }, "Why not:"), " ");
      item.append(why);
    }
    const pieces: (HTMLElement | null)[] = [this.makeVerdict(result, answer)];
    if (shown) pieces.push(shown);
    if (result.why) pieces.push(showHtml("p", result.why, { class: "why" }));
    if (result.see) {
      pieces.push(
        make("p", { class: "question-see" }, "It is taught in ", make("a", { href: result.see.url }, result.see.title), "."),
      );
    }
    if (!result.right && !this.options.review) {
      pieces.push(
        make("p", { class: "question-again" }, makeButton("Try again", () => this.reset())),
      );
    }
    this.say(...pieces);
    this.showReady();
  }

  private makeVerdict(result: Result, answer: Answer): HTMLElement {
    const line = make("p", { class: "question-verdict" }, makeMark(result.right));
    if (typeof answer === "string") {
      const said = this.kind === "predict" ? "You predicted" : "You answered";
      line.append(` ${said} `, make("b", {}, answer));
      line.append(result.right && answer === result.expected ? "." : ", it is ");
      if (!(result.right && answer === result.expected)) line.append(make("b", {}, result.expected), ".");
    }
    if (result.first_right !== undefined && result.first_right !== result.right) {
      const words = result.first_right ? "Your first answer was right" : "Your first answer was not right";
      line.append(" ", make("span", { class: "soft" }, `${words}: that is the one that counts.`));
    }
    return line;
  }

  /** An empty form again; what was answered first stays on record. */
  private reset(): void {
    this.result = null;
    delete this.element.dataset["answered"];
    for (const item of this.form.querySelectorAll("li[data-option]")) {
      item.classList.remove("is-right", "is-wrong", "is-chosen");
      item.querySelector(".why")?.remove();
    }
    for (const input of this.inputs) {
      input.checked = false;
      if (input.type === "text") input.value = "";
    }
    this.lock(false);
    this.say();
    this.showReady();
    this.focus();
  }

  private fill(answer: Answer): void {
    const chosen = Array.isArray(answer) ? answer : [answer];
    for (const input of this.inputs) {
      if (input.type === "text") input.value = String(answer);
      else input.checked = chosen.includes(Number(input.value));
    }
  }

  private lock(locked: boolean): void {
    for (const input of this.inputs) input.disabled = locked;
    this.send.hidden = locked;
  }

  private say(...pieces: (HTMLElement | null)[]): void {
    this.box.replaceChildren(...pieces.filter((piece) => piece !== null));
    this.box.hidden = this.box.childElementCount === 0;
  }

  private complain(words: string): void {
    this.say(make("p", { class: "question-trouble", role: "alert" }, words));
  }

  private speak(result: Result): void {
    const whys = [...this.form.querySelectorAll(".is-chosen .why")].map((why) => why.textContent ?? "");
    const words = whys.length > 0 ? whys.join(" ") : (this.box.textContent ?? "");
    const text = words.replace(/\s+/g, " ").replace(/[✓✗] (?:Right|Not right)\.\s?/g, "").trim();
    announce(`${result.right ? "Right." : "Not right."} ${text}`.slice(0, 400));
  }
}

function makeMark(right: boolean): HTMLElement {
  return make("b", { class: `mark ${right ? "right" : "wrong"}` }, right ? "✓ Right." : "✗ Not right.");
}

/** The questions of the page, each with its form alive. */
export function openQuestions(root: ParentNode, options: QuestionOptions): QuestionView[] {
  const views: QuestionView[] = [];
  for (const element of root.querySelectorAll<HTMLElement>(".question[data-question]")) {
    const form = element.querySelector("form");
    if (form) views.push(new QuestionView(element, form, options));
  }
  return views;
}
