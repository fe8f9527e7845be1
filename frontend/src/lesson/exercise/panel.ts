// One exercise made live: what it is answered with, its buttons, its verdict. All that lasts is the server's.
//
// Read keeper.ts first: it has the learner's text.

import { get, post } from "../../api.ts";
import { announce, make, makeButton } from "../../dom.ts";
import type { Body, BodyActions } from "./body.ts";
import { FormBody } from "./form_body.ts";
import { TextKeeper } from "./keeper.ts";
import { renderQuestion } from "./notices.ts";
import { Foot, Hints } from "./parts.ts";
import type { ExerciseInfo, ExerciseState, Verdict } from "./types.ts";
import { renderOldNote, renderVerdict, sayVerdict } from "./verdict.ts";
import { sayError, sayStatus } from "./words.ts";

const POLL_MS = 2000;

export class ExercisePanel {
  private readonly address: string;
  private readonly status = make("span", { class: "exercise-status" });
  private readonly saveLine = make("span", { class: "exercise-saved", role: "status" });
  private readonly progress = make("p", { class: "exercise-progress", hidden: true });
  private readonly notices = make("div", { class: "exercise-notices" });
  private readonly verdictPlace = make("div", { class: "verdict-place" });
  private readonly hints: Hints;
  private readonly foot: Foot;
  private readonly checkButton = makeButton("Check", () => void this.check(), {
    class: "primary check-button",
    title: "Check what you wrote (Ctrl-Enter)",
  });
  private readonly body: Body;
  private readonly keeper: TextKeeper;
  private shownVerdict = "";
  private ticker = 0;
  private isChecking = false;
  private isLooking = false;

  /** Ask how it stands and put the panel into the server's text. */
  static async open(section: HTMLElement, slug: string, info: ExerciseInfo): Promise<ExercisePanel> {
    const [state, code] = await Promise.all([
      get<ExerciseState>(`/api/exercise/${slug}/${info.name}`),
      info.fields.length === 0 ? import("./code_body.ts") : null,
    ]);
    const makeBody = (actions: BodyActions): Body =>
      code ? new code.CodeBody(info, state.text, actions) : new FormBody(info, slug, section, actions);
    return new ExercisePanel(section, slug, info, state, makeBody);
  }

  private constructor(
    private readonly section: HTMLElement,
    slug: string,
    private readonly info: ExerciseInfo,
    private state: ExerciseState,
    makeBody: (actions: BodyActions) => Body,
  ) {
    this.address = `/api/exercise/${slug}/${info.name}`;
    this.body = makeBody({ onEdit: (text) => this.edited(text), check: () => void this.check() });
    this.hints = new Hints(info, { askHint: () => this.askHint(), askSolution: () => this.askSolution() });
    this.foot = new Foot({
      restore: (id) => this.restore(id),
      reset: () => this.askReset(),
      prepare: () => this.prepare(),
    });
    this.build();
    this.keeper = new TextKeeper(this.address, { slug, name: info.name }, state, this.body, this.notices, {
      say: (words) => this.say(words),
      refresh: () => void this.look(true),
    });
    this.show(state);
    this.keeper.takeDraft();
    this.watch();
  }

  private build(): void {
    const { section } = this;
    section.querySelector(".exercise-how")?.remove();
    section.querySelector(".exercise-facts")?.append(this.status);
    section.append(
      this.body.element,
      make("div", { class: "exercise-bar" }, this.checkButton, ...this.hints.buttons, this.foot.resetButton, this.saveLine),
      this.progress,
      this.notices,
      this.verdictPlace,
      this.hints.element,
      this.foot.element,
    );
    section.dataset["live"] = "";
  }

  // --- what the server says ----------------------------------------------------------------------------------

  /** Draw a state; its text is the keeper's matter. */
  private show(state: ExerciseState): void {
    this.state = state;
    if (this.keeper.isDirty) state.last_is_current = false;
    this.section.dataset["status"] = state.status;
    const words = sayStatus(state);
    this.status.replaceChildren(...(words === "" ? [] : [` · ${words}`]));
    this.hints.show(state);
    this.foot.show(state);
    this.showVerdict(state.last);
    this.notices.querySelector(".form-trouble")?.remove();
    if (state.form_error !== null) {
      this.notices.append(make("p", { class: "exercise-notice form-trouble", role: "alert" }, state.form_error));
    }
  }

  /** Draw it, unless it stands there already: what is unfolded in it, and the focus, stay. */
  private showVerdict(verdict: Verdict | null): HTMLElement | null {
    const shown = JSON.stringify([verdict, this.state.last_is_current, this.state.unaided]);
    if (shown === this.shownVerdict) return this.verdictPlace.firstElementChild as HTMLElement | null;
    this.shownVerdict = shown;
    this.body.mark(this.state.last_is_current ? verdict : null);
    this.verdictPlace.replaceChildren();
    if (verdict === null) return null;
    const { goToLine } = this.body;
    const element = renderVerdict(verdict, this.state, {
      leave: () => this.body.focus(),
      ...(goToLine ? { goToLine: goToLine.bind(this.body) } : {}),
    });
    this.verdictPlace.append(element);
    return element;
  }

  private say(words: string): void {
    this.saveLine.textContent = words;
  }

  private edited(text: string): void {
    this.keeper.edit(text);
    if (!this.state.last_is_current || !this.keeper.isDirty) return;
    this.state.last_is_current = false;
    this.shownVerdict = "";
    this.verdictPlace.querySelector(".exercise-verdict")?.append(renderOldNote());
  }

  /** Follow the file, other tabs and the terminal while the exercise can be seen. */
  private watch(): void {
    let isSeen = true;
    new IntersectionObserver((entries) => {
      isSeen = entries.some((entry) => entry.isIntersecting);
      if (isSeen) void this.look();
    }).observe(this.section);
    setInterval(() => {
      if (isSeen) void this.look();
    }, POLL_MS);
    addEventListener("focus", () => void this.look());
    document.addEventListener("visibilitychange", () => void this.look());
    addEventListener("pagehide", () => this.keeper.saveSoon.flush());
  }

  private async look(always = false): Promise<void> {
    const isBusy = () => this.keeper.isHeld || this.keeper.isSaving;
    if (document.visibilityState !== "visible" || this.isLooking || isBusy()) return;
    this.isLooking = true;
    try {
      const now = await get<{ version: string; mark: string }>(`${this.address}/version`);
      const isKnown = now.version === this.keeper.newest && now.mark === this.state.mark;
      if (isKnown && !always) return;
      const base = this.keeper.base;
      const state = await get<ExerciseState>(this.address);
      // Meanwhile this page may have saved: then what was read is old.
      if (isBusy() || this.keeper.base !== base) return;
      this.keeper.see(state);
      this.show(state);
    } catch {
      // asked again soon; what is typed is kept, and the toolbar says that the course is away
    } finally {
      this.isLooking = false;
    }
  }

  // --- the buttons -------------------------------------------------------------------------------------------

  private async check(): Promise<void> {
    if (this.isChecking) return;
    if (this.keeper.hasConflict) return this.keeper.focusConflict();
    this.setChecking(true);
    try {
      await this.keeper.save();
      if (this.keeper.hasConflict) return this.keeper.focusConflict();
      this.keeper.isHeld = true;
      const sent = this.keeper.text;
      const { verdict, state } = await post<{ verdict: Verdict; state: ExerciseState }>(`${this.address}/check`, {
        ...this.body.toPayload(sent),
        base: this.keeper.base,
      });
      this.keeper.isHeld = false;
      this.keeper.adopt(state, { text: sent, version: verdict.version });
      this.show({ ...state, last: verdict });
      const element = this.showVerdict(verdict);
      if (element === null) return;
      announce(sayVerdict(verdict, element));
      // Who types on meanwhile is not pulled away.
      if (this.keeper.text !== sent) return;
      element.focus({ preventScroll: true });
      element.scrollIntoView({ block: "nearest" }); // of a tall one the beginning
    } catch (error) {
      if (!this.keeper.meetConflict(error)) this.fail(error);
    } finally {
      this.keeper.isHeld = false;
      this.setChecking(false);
    }
  }

  private setChecking(isChecking: boolean): void {
    this.isChecking = isChecking;
    this.progress.hidden = !isChecking;
    this.section.setAttribute("aria-busy", String(isChecking));
    this.checkButton.disabled = isChecking;
    clearInterval(this.ticker);
    if (!isChecking) return;
    const started = performance.now();
    const tick = () => {
      const seconds = (performance.now() - started) / 1000;
      this.progress.textContent =
        seconds < 0.3 ? "Checking…" : `Checking, ${seconds.toFixed(1)} s. It ends by itself after ${this.info.seconds} s.`;
    };
    tick();
    this.ticker = window.setInterval(tick, 100);
  }

  private fail(error: unknown): void {
    this.notices.querySelector(".exercise-failed")?.remove();
    const notice = renderQuestion(sayError(error), [{ label: "Close", act: () => notice.remove() }]);
    notice.classList.add("exercise-failed");
    this.notices.append(notice);
    announce(sayError(error));
  }

  /** Save what is typed, then ask the server for something that changes the state. */
  private async ask(what: string, body: unknown = {}): Promise<ExerciseState | null> {
    if (this.keeper.hasConflict) {
      this.keeper.focusConflict();
      return null;
    }
    try {
      await this.keeper.save();
      if (this.keeper.hasConflict) return null;
      this.keeper.isHeld = true;
      const { state } = await post<{ state: ExerciseState }>(`${this.address}/${what}`, body);
      this.keeper.isHeld = false;
      this.keeper.adopt(state, null);
      this.show(state);
      return state;
    } catch (error) {
      this.fail(error);
      return null;
    } finally {
      this.keeper.isHeld = this.isChecking;
    }
  }

  /** The file must be there before another editor can open it. */
  private async prepare(): Promise<void> {
    if (this.keeper.base === "" && !this.keeper.isDirty) await this.ask("prepare");
    else await this.keeper.save();
  }

  private async askHint(): Promise<void> {
    if ((await this.ask("hint")) !== null) this.hints.focusLast();
  }

  private async askSolution(): Promise<void> {
    if (this.state.status !== "passed" && !this.state.solution_seen) {
      const question = renderQuestion("Show the solution? The exercise then counts as “solution seen”, not as “done unaided”.", [
        { label: "Show it", act: () => void this.showSolution(question) },
        { label: "Not yet", act: () => this.closeQuestion(question) },
      ]);
      return this.putQuestion(question);
    }
    await this.showSolution(null);
  }

  private async showSolution(question: HTMLElement | null): Promise<void> {
    question?.remove();
    try {
      const answer = await post<{ solution_html: string; state: ExerciseState }>(`${this.address}/solution`, {});
      this.show(answer.state);
      this.hints.showSolution(answer.solution_html);
    } catch (error) {
      this.fail(error);
    }
  }

  private askReset(): void {
    const question = renderQuestion("Begin again from the exercise's first text? Yours is kept and can be brought back.", [
      {
        label: "Begin again",
        act: () => {
          question.remove();
          const mine = this.keeper.text;
          void this.ask("reset").then((state) => {
            if (state === null) return;
            this.keeper.offerBack("This is the first text again.", mine);
            this.body.focus();
          });
        },
      },
      { label: "Go on with mine", act: () => this.closeQuestion(question) },
    ]);
    this.putQuestion(question);
  }

  private restore(attempt: string): void {
    const mine = this.keeper.text;
    void this.ask("restore", { attempt }).then((state) => {
      if (state === null) return;
      if (this.keeper.text !== mine) this.keeper.offerBack("The text of that attempt is back.", mine);
      this.body.focus();
    });
  }

  private putQuestion(question: HTMLElement): void {
    this.notices.querySelector(".exercise-question")?.remove();
    question.classList.add("exercise-question");
    this.notices.prepend(question);
    question.querySelector("button")?.focus();
  }

  private closeQuestion(question: HTMLElement): void {
    question.remove();
    this.body.focus();
  }
}
