// A form: the fields that the server rendered, made live. Its synchronised text is the values as JSON.

import { make } from "../../dom.ts";
import type { Body, BodyActions } from "./body.ts";
import { type FieldView, makeField } from "./fields.ts";
import type { Disk, ExerciseInfo, Values, Verdict } from "./types.ts";

/** The values in the order of the fields, so that equal answers are equal texts. */
export function packValues(info: Pick<ExerciseInfo, "fields">, values: Values): string {
  return JSON.stringify(Object.fromEntries(info.fields.map(({ name }) => [name, values[name] ?? null])));
}

/** One line a field, for a comparison by eye. */
export function sayValues(text: string): string {
  const say = (value: unknown) =>
    value === null ? "(no answer)" : Array.isArray(value) ? value.join(", ") || "(none)" : String(value);
  return Object.entries(JSON.parse(text) as Values)
    .map(([name, value]) => `${name}: ${say(value)}`)
    .join("\n");
}

export class FormBody implements Body {
  readonly element: HTMLElement;
  private readonly fields: FieldView[] = [];

  constructor(
    private readonly info: ExerciseInfo,
    slug: string,
    section: HTMLElement,
    actions: BodyActions,
  ) {
    this.element = section.querySelector<HTMLElement>(".exercise-fields") ?? make("div", { class: "exercise-fields" });
    for (const field of info.fields) {
      const place = this.element.querySelector<HTMLElement>(`[data-field="${CSS.escape(field.name)}"]`);
      if (!place) continue;
      const id = `exercise-${info.name}-${field.name}`;
      const changed = () => actions.onEdit(this.read());
      this.fields.push(makeField(field, place, { id, slug, exercise: info.name, changed, check: actions.check }));
    }
  }

  private read(): string {
    return packValues(this.info, Object.fromEntries(this.fields.map((field) => [field.name, field.value])));
  }

  toPayload(text: string): Record<string, unknown> {
    return { fields: JSON.parse(text) as Values };
  }

  fromDisk(disk: Disk): string {
    return packValues(this.info, disk.values ?? {});
  }

  show(text: string): void {
    const values = JSON.parse(text) as Values;
    for (const field of this.fields) field.value = values[field.name] ?? null;
  }

  toLines(text: string): string {
    return sayValues(text);
  }

  focus(): void {
    (this.fields.find((field) => field.isUnanswered) ?? this.fields[0])?.focus();
  }

  mark(verdict: Verdict | null): void {
    for (const field of this.fields) {
      const check = verdict?.checks.find((one) => one.field === field.name) ?? null;
      field.mark(check, verdict?.whys[field.name] ?? {});
    }
  }
}
