// A formula that the learner types, drawn while they type. What it says is judged by the server alone.

import { ApiError, post } from "../../api.ts";
import { debounce, make } from "../../dom.ts";
import { checkOnEnter, type FieldContext, type FieldView, makeJudgement, takeLabel } from "./fields.ts";
import { showHtml } from "./html.ts";
import type { Check, FieldInfo, FieldValue } from "./types.ts";

const PREVIEW_MS = 150;

interface Preview {
  tex: string | null;
  error_html: string | null;
  /** Where in the text, counted from 0. */
  position: number | null;
}

export class ExpressionField implements FieldView {
  readonly name: string;
  private readonly input: HTMLInputElement;
  private readonly drawing = make("div", { class: "expression-drawing" });
  private readonly trouble: HTMLElement;
  private readonly judge: (check: Check | null) => void;
  private readonly draw = debounce(() => void this.askPreview(), PREVIEW_MS);

  constructor(
    info: FieldInfo,
    place: HTMLElement,
    private readonly context: FieldContext,
  ) {
    this.name = info.name;
    takeLabel(place, context.id);
    this.trouble = make("div", { class: "expression-trouble", id: `${context.id}-trouble`, role: "status" });
    this.input = make("input", {
      type: "text",
      class: "expression-input",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      maxlength: 500,
      "aria-labelledby": `${context.id}-label`,
      "aria-describedby": `${context.id}-trouble`,
    });
    this.input.addEventListener("input", () => {
      this.mark(null);
      this.draw();
      context.changed();
    });
    checkOnEnter(this.input, context);
    const preview = make("div", { class: "expression-preview", role: "group", "aria-label": "As a formula" }, this.drawing);
    const symbols = place.querySelector(".field-symbols");
    if (symbols) symbols.before(this.input, this.trouble, preview);
    else place.append(this.input, this.trouble, preview);
    this.judge = makeJudgement(place, preview);
  }

  get value(): FieldValue {
    return this.input.value.trim() === "" ? null : this.input.value.trim();
  }

  set value(value: FieldValue) {
    if (value === this.value) return;
    this.input.value = value === null ? "" : String(value);
    void this.askPreview();
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

  private async askPreview(): Promise<void> {
    const text = this.input.value;
    if (text.trim() === "") {
      this.drawing.replaceChildren();
      this.sayTrouble(text, null, null);
      return;
    }
    const { slug, exercise } = this.context;
    let preview: Preview;
    try {
      preview = await post<Preview>("/api/expression", { text, slug, name: exercise, field: this.name });
    } catch (error) {
      this.sayTrouble(text, make("p", {}, error instanceof ApiError ? error.message : String(error)), null);
      return;
    }
    if (text !== this.input.value) return; // a later one is on its way
    const { error_html: said, position } = preview;
    this.sayTrouble(text, said === null ? null : showHtml("p", said), position);
    // While it cannot be read the last good drawing stays, dimmed.
    this.drawing.classList.toggle("expression-stale", preview.tex === null);
    if (preview.tex === null) return;
    const { renderTex } = await import("../mathematics.ts");
    if (text === this.input.value) renderTex(this.drawing, preview.tex, true);
  }

  private sayTrouble(text: string, error: HTMLElement | null, position: number | null): void {
    this.input.toggleAttribute("aria-invalid", error !== null);
    if (error === null) {
      this.trouble.replaceChildren();
      return;
    }
    const at = position === null ? null : Math.max(0, Math.min(position, text.length));
    this.trouble.replaceChildren(
      // A caret under the place, in the face of the input.
      ...(at === null
        ? []
        : [
            make(
              "div",
              { class: "expression-place", "aria-hidden": "true" },
              text.slice(0, at),
              make("mark", {}, text.slice(at, at + 1) || "␣"),
              text.slice(at + 1),
            ),
          ]),
      error,
    );
  }
}
