// "What you can show": what is typed or chosen is saved at once, and each promise says anew how it stands.

import { ApiError, post } from "../api.ts";
import { debounce, make } from "../dom.ts";

const AUTOSAVE_MS = 700;
const RETRY_MS = 5000;

interface PromiseState {
  key: string;
  state: "shown" | "begun" | "missing";
  state_words: string;
  summary: string;
  missing: string[];
}

export function startOutcomes(page: HTMLElement): void {
  for (const form of page.querySelectorAll<HTMLFormElement>("form[data-evidence]")) new EvidenceForm(form);
  startFromWords(page);
  startPortfolio(page);
}

/** One form: its fields are one record of the learner's evidence. */
class EvidenceForm {
  private readonly kind: string;
  private readonly line: HTMLElement | null;
  private saved: string;
  private retry?: ReturnType<typeof setTimeout>;

  constructor(private readonly form: HTMLFormElement) {
    this.kind = form.dataset["evidence"] ?? "";
    this.line = form.querySelector<HTMLElement>("[data-state-line]");
    this.saved = JSON.stringify(this.read());
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      if ((event.target as HTMLInputElement).type === "radio") return;
      this.say("…");
      this.later();
    });
    form.addEventListener("change", (event) => {
      if ((event.target as HTMLInputElement).type === "radio") this.save();
      else this.later.flush();
    });
    addEventListener("pagehide", () => this.later.flush());
  }

  private readonly later = debounce(() => this.save(), AUTOSAVE_MS);

  private read(): Record<string, string> {
    const fields: Record<string, string> = {};
    for (const [name, value] of new FormData(this.form)) {
      // a run is chosen by the radio button "model" or "tuned", and kept as its name
      if (typeof value === "string") fields[name === this.kind ? "name" : name] = value;
    }
    return fields;
  }

  private save(): void {
    const fields = this.read();
    const text = JSON.stringify(fields);
    if (text === this.saved) {
      this.say("Saved.");
      return;
    }
    post<{ promises: PromiseState[] }>(`/api/outcomes/${this.kind}`, fields, { keepalive: text.length < 30_000 }).then(
      ({ promises }) => {
        this.saved = text;
        this.say("Saved.");
        showPromises(promises);
      },
      (error: unknown) => {
        this.say(error instanceof ApiError ? `Not saved: ${error.message}` : "Not saved.");
        clearTimeout(this.retry); // one at a time, however often it failed
        this.retry = setTimeout(() => this.save(), RETRY_MS);
      },
    );
  }

  private say(words: string): void {
    if (this.line) this.line.textContent = words;
  }
}

function showPromises(promises: readonly PromiseState[]): void {
  for (const promise of promises) {
    const place = document.querySelector<HTMLElement>(`[data-promise="${promise.key}"]`);
    if (!place) continue;
    place.dataset["state"] = promise.state;
    const put = (selector: string, words: string) => {
      const element = place.querySelector<HTMLElement>(selector);
      if (element && element.textContent !== words) element.textContent = words;
    };
    put("[data-promise-state]", promise.state_words);
    put("[data-promise-summary]", promise.summary);
    const missing = place.querySelector<HTMLElement>("[data-promise-missing]");
    if (!missing) continue;
    missing.hidden = promise.missing.length === 0;
    missing.querySelector("ul")?.replaceChildren(...promise.missing.map((sentence) => make("li", {}, ...markCode(sentence))));
  }
}

/** `words between backticks` as code. */
function markCode(sentence: string): (string | HTMLElement)[] {
  return sentence.split("`").map((piece, at) => (at % 2 === 1 ? make("code", {}, piece) : piece));
}

/** Put what was written in the lessons into the text from end to end, each paragraph once. */
function startFromWords(page: HTMLElement): void {
  const button = page.querySelector<HTMLButtonElement>("[data-start-from-words]");
  const area = page.querySelector<HTMLTextAreaElement>("#explanation");
  const held = document.getElementById("outcomes-data")?.textContent;
  if (!button || !area || !held) return;
  const { paragraphs } = JSON.parse(held) as { paragraphs: string[] };
  button.addEventListener("click", () => {
    const fresh = paragraphs.filter((paragraph) => !area.value.includes(paragraph));
    if (fresh.length > 0) {
      area.value = [area.value.trim(), ...fresh].filter((text) => text !== "").join("\n\n");
      area.dispatchEvent(new Event("input", { bubbles: true }));
    }
    button.textContent = fresh.length > 0 ? "Added" : "All of them stand there";
    area.focus();
  });
}

function startPortfolio(page: HTMLElement): void {
  const button = page.querySelector<HTMLButtonElement>("[data-portfolio]");
  const again = page.querySelector<HTMLButtonElement>("[data-portfolio-overwrite]");
  const state = page.querySelector<HTMLElement>("[data-portfolio-state]");
  if (!button || !again || !state) return;
  const write = async (overwrite: boolean) => {
    button.disabled = again.disabled = true;
    state.textContent = "Writing …";
    try {
      const { paths } = await post<{ paths: string[] }>("/api/portfolio", { overwrite });
      state.textContent = `Written: ${paths.join(" and ")}.`;
      again.hidden = true;
    } catch (error) {
      state.textContent = error instanceof ApiError ? error.message : "It could not be written.";
      again.hidden = !(error instanceof ApiError && error.message.includes("was changed"));
    }
    button.disabled = again.disabled = false;
  };
  button.addEventListener("click", () => void write(false));
  again.addEventListener("click", () => void write(true));
}
