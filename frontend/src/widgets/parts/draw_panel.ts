// The buttons under a sketch (Run, Clear, Try again) and what is said: asked first, run then, how far off.

import { button, h } from "./dom.ts";
import type { Model } from "./model.ts";

const SLOW_MS = 400;
const SILENT_MS = 12000;

export interface PanelOptions {
  /** Whether there is a sketch to compare with. */
  ready(): boolean;
  /** What to draw first, where there is none. */
  ask: string;
  clear(): void;
  /** The run is there, or gone again. */
  redraw(): void;
}

/** Drawing, then waiting for the kernel, then looking at the run. */
export class DrawPanel {
  readonly element = h("div", { class: "nf-draw-panel" });
  private readonly run = button("Run", () => this.press(), { class: "nf-button nf-main" });
  private readonly anyway = button("Run without a sketch", () => this.send(), { hidden: true });
  private readonly clear = button("Clear", () => this.onClear());
  private readonly again = button("Try again", () => this.onAgain(), { hidden: true });
  private readonly say = h("div", { class: "nf-readout", role: "status", "aria-live": "polite", hidden: true });
  private timers: number[] = [];
  private waiting = false;

  constructor(
    private readonly model: Model,
    private readonly empty: unknown,
    private readonly options: PanelOptions,
  ) {
    const buttons = h("div", { class: "nf-buttons" }, this.run, this.anyway, this.clear, this.again);
    this.element.append(buttons, this.say);
  }

  /** Whether the reader may draw now. */
  get open(): boolean {
    return !this.waiting && !this.hasRun;
  }

  get hasRun(): boolean {
    const run = this.model.get("run");
    return Array.isArray(run) ? run.length > 0 : Boolean(run?.x);
  }

  private press(): void {
    if (this.waiting) return;
    if (this.options.ready()) {
      this.send();
      return;
    }
    this.tell([this.options.ask]);
    this.anyway.hidden = false;
  }

  private send(): void {
    if (this.waiting) return;
    this.waiting = true;
    if (this.anyway === document.activeElement) this.run.focus({ preventScroll: true });
    this.anyway.hidden = true;
    // not `disabled`: that would take the focus away
    this.run.setAttribute("aria-disabled", "true");
    this.clear.setAttribute("aria-disabled", "true");
    this.model.set("asked", this.model.get("asked") + 1);
    this.model.save_changes();
    this.timers = [
      window.setTimeout(() => this.tell(["It runs …"]), SLOW_MS),
      window.setTimeout(() => {
        this.stopWaiting();
        this.tell(["No answer yet: the kernel is busy, or it was restarted. Then run the cell again; your sketch stays."]);
      }, SILENT_MS),
    ];
  }

  private stopWaiting(): void {
    this.waiting = false;
    this.timers.forEach((timer) => clearTimeout(timer));
    this.run.removeAttribute("aria-disabled");
    this.clear.removeAttribute("aria-disabled");
  }

  /** Python has answered, or the state came with the page. */
  answered(): void {
    this.stopWaiting();
    this.show();
    this.options.redraw();
  }

  /** Buttons and words as the model has them. */
  show(): void {
    const { hasRun } = this;
    const hadFocus = this.run === document.activeElement;
    this.run.hidden = this.clear.hidden = hasRun;
    this.again.hidden = !hasRun;
    if (hasRun) this.anyway.hidden = true;
    // a button that goes away must not take the reader's place in the page with it
    if (hasRun && hadFocus) this.again.focus({ preventScroll: true });
    const failure: string = this.model.get("failure");
    const words: string[] = this.model.get("words");
    if (failure) this.tell([failure]);
    else if (hasRun) this.tell(words.length ? words : ["This is the run. There was no sketch to compare it with."]);
    else this.tell([]);
  }

  private tell(sentences: string[]): void {
    this.say.hidden = sentences.length === 0;
    const parts = sentences.map((sentence) => h("p", {}, sentence));
    if (this.say.textContent !== sentences.join("")) this.say.replaceChildren(...parts);
  }

  /** The reader draws: what was asked for is being done. */
  drawing(): void {
    if (!this.anyway.hidden) {
      this.anyway.hidden = true;
      this.tell([]);
    }
  }

  private onClear(): void {
    if (this.waiting) return;
    this.options.clear();
    this.tell([]);
  }

  /** The run goes, the sketch stays to be mended. */
  private onAgain(): void {
    this.model.set("run", this.empty);
    this.model.set("words", []);
    this.model.save_changes();
    this.show();
    this.run.focus({ preventScroll: true });
    this.options.redraw();
  }

  remove(): void {
    this.timers.forEach((timer) => clearTimeout(timer));
  }
}
