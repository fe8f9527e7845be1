// One field of a form each: choice, several choices, number, text. Expressions stand in expression.ts.

import { make } from "../../dom.ts";
import { ExpressionField } from "./expression.ts";
import { showHtml } from "./html.ts";
import type { Check, FieldInfo, FieldValue } from "./types.ts";
import { countWords, parseNumber, sayCheck, SIGNS } from "./words.ts";

export interface FieldContext {
  /** Unlike any other on the page. */
  id: string;
  slug: string;
  exercise: string;
  changed(): void;
  check(): void;
}

export interface FieldView {
  readonly name: string;
  value: FieldValue;
  readonly isUnanswered: boolean;
  focus(): void;
  /** What the last check said of it; `whys` are HTML by option. */
  mark(check: Check | null, whys: Record<string, string>): void;
}

/** Make the server's text of a field live. */
export function makeField(info: FieldInfo, place: HTMLElement, context: FieldContext): FieldView {
  switch (info.kind) {
    case "expression":
      return new ExpressionField(info, place, context);
    case "choice":
    case "multiple":
      return new ChoiceField(info, place, context);
    case "number":
      return new NumberField(info, place, context);
    case "text":
      return new TextField(info, place, context);
  }
}

/** The line under a field that says how it was judged; after `above`, else at its end. */
export function makeJudgement(place: HTMLElement, above?: HTMLElement): (check: Check | null) => void {
  const line = make("p", { class: "field-judgement", hidden: true });
  if (above) above.after(line);
  else place.append(line);
  return (check) => {
    line.hidden = check === null;
    place.toggleAttribute("data-status", check !== null);
    if (check === null) return;
    place.setAttribute("data-status", check.status);
    line.replaceChildren(
      make("span", { class: "verdict-sign", "data-sign": check.status, "aria-hidden": "true" }, SIGNS[check.status]),
      sayCheck(check),
    );
  };
}

/** The label that the server wrote, tied to its input. */
export function takeLabel(place: HTMLElement, id: string): void {
  const text = place.querySelector<HTMLElement>(".field-label");
  if (text) text.id = `${id}-label`;
}

class ChoiceField implements FieldView {
  readonly name: string;
  private readonly inputs = new Map<string, HTMLInputElement>();
  private readonly items = new Map<string, HTMLElement>();
  private readonly judge: (check: Check | null) => void;

  constructor(
    private readonly info: FieldInfo,
    place: HTMLElement,
    context: FieldContext,
  ) {
    this.name = info.name;
    takeLabel(place, context.id);
    const several = info.kind === "multiple";
    const list = place.querySelector<HTMLElement>(".field-options");
    const group = make("div", {
      class: "field-choices",
      role: several ? "group" : "radiogroup",
      "aria-labelledby": `${context.id}-label`,
    });
    for (const option of place.querySelectorAll<HTMLElement>("[data-value]")) {
      const value = option.dataset["value"] ?? "";
      const input = make("input", { type: several ? "checkbox" : "radio", name: context.id, value });
      input.addEventListener("change", () => {
        this.mark(null, {});
        context.changed();
      });
      const item = make("div", { class: "field-choice" }, make("label", {}, input, make("span", {}, ...option.childNodes)));
      group.append(item);
      this.inputs.set(value, input);
      this.items.set(value, item);
    }
    if (list) list.replaceWith(group);
    else place.append(group);
    this.judge = makeJudgement(place);
  }

  get value(): FieldValue {
    const chosen = [...this.inputs].filter(([, input]) => input.checked).map(([value]) => value);
    if (this.info.kind === "choice") return chosen[0] ?? null;
    return chosen.length > 0 ? chosen : null;
  }

  set value(value: FieldValue) {
    const chosen = new Set(Array.isArray(value) ? value : [value]);
    for (const [name, input] of this.inputs) input.checked = chosen.has(name);
  }

  get isUnanswered(): boolean {
    return this.value === null;
  }

  focus(): void {
    const inputs = [...this.inputs.values()];
    (inputs.find((input) => input.checked) ?? inputs[0])?.focus();
  }

  mark(check: Check | null, whys: Record<string, string>): void {
    this.judge(check);
    for (const [value, item] of this.items) {
      item.querySelector(".option-why")?.remove();
      const why = check === null ? undefined : whys[value];
      if (why) item.append(showHtml("div", why, { class: "option-why" }));
    }
  }
}

class NumberField implements FieldView {
  readonly name: string;
  private readonly input: HTMLInputElement;
  private readonly judge: (check: Check | null) => void;

  constructor(info: FieldInfo, place: HTMLElement, context: FieldContext) {
    this.name = info.name;
    takeLabel(place, context.id);
    place.querySelector(".field-unit")?.remove();
    const complaint = make("p", { class: "field-complaint", id: `${context.id}-complaint`, hidden: true });
    const input = make("input", {
      type: "text",
      inputmode: "decimal",
      size: 12,
      autocomplete: "off",
      "aria-labelledby": `${context.id}-label`,
      "aria-describedby": `${context.id}-complaint`,
    });
    this.input = input;
    input.addEventListener("input", () => {
      this.mark(null);
      complaint.hidden = true;
      input.removeAttribute("aria-invalid");
      context.changed();
    });
    input.addEventListener("change", () => {
      const isBad = input.value.trim() !== "" && parseNumber(input.value) === null;
      complaint.hidden = !isBad;
      complaint.textContent = isBad ? `${input.value.trim()} is not a number. Write it like 1200, 0.05 or 3e-4.` : "";
      input.toggleAttribute("aria-invalid", isBad);
    });
    checkOnEnter(input, context);
    place.append(make("p", { class: "field-number" }, input, info.unit ? ` ${info.unit}` : null), complaint);
    this.judge = makeJudgement(place);
  }

  get value(): FieldValue {
    return parseNumber(this.input.value);
  }

  set value(value: FieldValue) {
    // What is typed stays as it was typed while it means the same.
    if (value !== this.value) this.input.value = value === null ? "" : String(value);
  }

  get isUnanswered(): boolean {
    return this.value === null;
  }

  focus(): void {
    this.input.focus();
  }

  mark(check: Check | null): void {
    this.judge(check);
  }
}

class TextField implements FieldView {
  readonly name: string;
  private readonly area: HTMLTextAreaElement;
  private readonly counter = make("p", { class: "field-count" });
  private readonly judge: (check: Check | null) => void;

  constructor(
    private readonly info: FieldInfo,
    place: HTMLElement,
    context: FieldContext,
  ) {
    this.name = info.name;
    takeLabel(place, context.id);
    this.area = make("textarea", { rows: 4, spellcheck: "true", "aria-labelledby": `${context.id}-label` });
    this.area.addEventListener("input", () => {
      this.mark(null);
      this.sayCount();
      context.changed();
    });
    this.area.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      context.check();
    });
    place.append(this.area, this.counter);
    this.sayCount();
    this.judge = makeJudgement(place);
  }

  private sayCount(): void {
    const least = this.info.min_words;
    const words = countWords(this.area.value);
    this.counter.textContent = least ? `${words} of at least ${least} words` : "";
  }

  get value(): FieldValue {
    return this.area.value.trim() === "" ? null : this.area.value;
  }

  set value(value: FieldValue) {
    if (value === this.value) return;
    this.area.value = value === null ? "" : String(value);
    this.sayCount();
  }

  get isUnanswered(): boolean {
    return this.value === null;
  }

  focus(): void {
    this.area.focus();
  }

  mark(check: Check | null): void {
    this.judge(check);
  }
}

export function checkOnEnter(input: HTMLInputElement, context: FieldContext): void {
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    context.check();
  });
}
