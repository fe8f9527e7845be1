// A code exercise: the editor of the cells, with the failing line marked.

import { type Extension, StateEffect, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView } from "@codemirror/view";

import { make } from "../../dom.ts";
import { Editor } from "../editor.ts";
import type { Body, BodyActions } from "./body.ts";
import type { Disk, ExerciseInfo, Verdict } from "./types.ts";

const setLine = StateEffect.define<number | null>();
const failing = Decoration.line({ class: "cm-failing-line" });

/** The marked line; typing on takes the mark away. */
const markedLine: Extension = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    for (const effect of transaction.effects) {
      if (!effect.is(setLine)) continue;
      const { doc } = transaction.state;
      if (effect.value === null || effect.value < 1 || effect.value > doc.lines) return Decoration.none;
      return Decoration.set([failing.range(doc.line(effect.value).from)]);
    }
    return transaction.docChanged ? Decoration.none : marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

export class CodeBody implements Body {
  readonly element = make("div", { class: "cell-editor exercise-editor" });
  private readonly editor: Editor;

  constructor(info: ExerciseInfo, text: string, actions: BodyActions) {
    this.editor = new Editor(this.element, text, `Python code of the exercise ${info.title}`, {
      onEdit: actions.onEdit,
      run: actions.check,
      runAndGoOn: actions.check,
      description: "Tab indents. Press Escape, then Tab, to leave the editor. Control-Enter checks.",
      extras: markedLine,
    });
  }

  toPayload(text: string): Record<string, unknown> {
    return { text };
  }

  fromDisk(disk: Disk): string {
    return disk.text;
  }

  show(text: string): void {
    this.editor.code = text;
  }

  toLines(text: string): string {
    return text;
  }

  focus(): void {
    this.editor.focus();
  }

  goToLine(line: number): void {
    this.editor.goToLine(line);
  }

  mark(verdict: Verdict | null): void {
    this.editor.view.dispatch({ effects: setLine.of(verdict?.error?.line ?? null) });
  }
}
