// "In one breath": the reader writes three sentences first, then sees ours and ticks what theirs said.
//
// The server's HTML is a section with a fold (course/own_words.py); here it becomes a text area, and the fold stays
// away until something is written, or the reader skips. Saved while typing, like the notes.

import { ApiError, get, post } from "../api.ts";
import { announce, debounce, make, makeButton } from "../dom.ts";
import type { LessonData } from "./protocol.ts";

const AUTOSAVE_MS = 600;
const RETRY_MS = 5000;
const FEW_WORDS = 5;

interface SavedWords {
  text: string;
  /** One for each point that was ticked or not; empty until ours was opened. */
  points: boolean[];
}

export function startWords(data: LessonData): void {
  const section = document.querySelector<HTMLElement>("[data-own-words]");
  const fold = section?.querySelector<HTMLDetailsElement>("details.ours");
  if (!section || !fold) return;
  get<SavedWords>(`/api/words/${data.slug}`).then(
    (saved) => new OwnWords(data.slug, fold).show(saved),
    () => {}, // the fold stays as it was
  );
}

class OwnWords {
  private readonly area = make("textarea", {
    id: "own-words",
    rows: 5,
    spellcheck: "true",
    autocomplete: "off",
    placeholder: "Three sentences, as you would say them to a colleague.",
  });
  private readonly said = make("p", { class: "soft own-words-state", role: "status" });
  private readonly compare = makeButton("Compare with ours", () => this.open(), { class: "primary" });
  private readonly skip = makeButton("Show ours without writing", () => this.open(true), { class: "quiet" });
  private readonly actions = make("p", { class: "own-words-actions" }, this.compare, " ", this.skip);
  private readonly boxes: HTMLInputElement[];
  private readonly points: HTMLElement | null;
  private saved = "";
  private opened = false;
  private retry?: ReturnType<typeof setTimeout>;

  constructor(
    private readonly slug: string,
    private readonly fold: HTMLDetailsElement,
  ) {
    this.points = fold.querySelector<HTMLElement>(".own-points");
    this.boxes = [...(this.points?.querySelectorAll<HTMLInputElement>("input") ?? [])];
  }

  show({ text, points }: SavedWords): void {
    const form = make(
      "div",
      { class: "own-words" },
      make("label", { for: "own-words" }, "Your words first"),
      this.area,
      this.said,
      this.actions,
    );
    this.fold.before(form);
    this.area.value = this.saved = text;
    this.fold.hidden = true;
    this.area.addEventListener("input", () => {
      this.showActions();
      this.said.textContent = "…";
      this.save();
    });
    addEventListener("pagehide", () => this.save.flush());
    for (const [at, box] of this.boxes.entries()) {
      box.checked = points[at] ?? false;
      box.addEventListener("change", () => this.send());
    }
    this.showActions();
    if (text !== "") this.say("Saved on this machine.");
    if (points.length > 0) this.reveal();
  }

  private showActions(): void {
    const few = countWords(this.area.value) < FEW_WORDS;
    this.compare.disabled = few;
    this.skip.hidden = !few;
    if (few && this.area.value === "") this.say("They are saved while you type, on this machine.");
  }

  /** Ours, below theirs. What was skipped is not kept: the next visit asks again. */
  private open(skipped = false): void {
    this.reveal();
    if (!skipped) this.send();
    this.fold.querySelector("summary")?.focus();
    announce(
      this.boxes.length > 0
        ? `Our words are shown. Tick what yours said: ${this.boxes.length} points.`
        : "Our words are shown.",
    );
  }

  private reveal(): void {
    this.opened = true;
    this.fold.hidden = false;
    this.fold.open = true;
    this.actions.hidden = true;
    if (!this.points || this.boxes.length === 0) return;
    const asked = this.points.previousElementSibling;
    if (asked instanceof HTMLParagraphElement && !this.points.dataset["asked"]) {
      asked.hidden = true; // the same points, as a sentence
      this.points.dataset["asked"] = "true";
      this.points.before(make("p", { class: "own-points-ask" }, "Did yours say:"));
    }
    this.points.hidden = false;
  }

  private readonly save = debounce(() => {
    if (this.area.value !== this.saved) this.send();
    else this.say("Saved.");
  }, AUTOSAVE_MS);

  private send(): void {
    const text = this.area.value;
    const points = this.opened && countWords(text) >= FEW_WORDS ? this.boxes.map((box) => box.checked) : [];
    post(`/api/words/${this.slug}`, { text, points }, { keepalive: text.length < 20_000 }).then(
      () => {
        this.saved = text;
        this.say("Saved.");
      },
      (error: unknown) => {
        this.say(error instanceof ApiError ? `Not saved: ${error.message}` : "Not saved.");
        clearTimeout(this.retry); // one at a time, however often it failed
        this.retry = setTimeout(() => this.send(), RETRY_MS);
      },
    );
  }

  private say(words: string): void {
    this.said.textContent = words;
  }
}

function countWords(text: string): number {
  return text.split(/\s+/u).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
}
