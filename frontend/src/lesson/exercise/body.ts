// What an exercise is answered with: an editor, or a form.

import type { Disk, Verdict } from "./types.ts";

export interface BodyActions {
  /** The learner changed it; `text` is what is synchronised (for a form, its values as JSON). */
  onEdit(text: string): void;
  check(): void;
}

export interface Body {
  readonly element: HTMLElement;
  /** What the server is sent for this text. */
  toPayload(text: string): Record<string, unknown>;
  /** The synchronised text of what is on disk. */
  fromDisk(disk: Disk): string;
  /** Show a text that came from elsewhere. */
  show(text: string): void;
  /** The text as lines that a person can compare. */
  toLines(text: string): string;
  focus(): void;
  goToLine?(line: number): void;
  /** Mark what the verdict says in the place it is about; null clears. */
  mark(verdict: Verdict | null): void;
}
