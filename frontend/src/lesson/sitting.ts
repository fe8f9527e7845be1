// A checkpoint's "How you stand": asked for again after each answer and each check, and the way to other questions.

import { ApiError, get, post } from "../api.ts";
import { announce, debounce, make } from "../dom.ts";
import type { LessonData } from "./protocol.ts";

const SETTLE_MS = 300;

interface SittingState {
  state: string;
  can_take_again: boolean;
  sentences: string[];
}

export function startSitting(data: LessonData): void {
  const box = document.querySelector<HTMLElement>("[data-sitting]");
  const list = box?.querySelector<HTMLElement>("[data-sitting-sentences]");
  const again = box?.querySelector<HTMLButtonElement>("[data-sitting-again]");
  if (!box || !list || !again) return;
  const show = (state: SittingState) => {
    const said = [...list.children].map((item) => item.textContent);
    box.dataset["state"] = state.state;
    again.hidden = !state.can_take_again;
    // put anew only where something changed: the list is read aloud
    if (said.join("\n") !== state.sentences.join("\n")) {
      list.replaceChildren(...state.sentences.map((sentence) => make("li", {}, sentence)));
    }
  };
  const ask = debounce(() => {
    get<SittingState>(`/api/checkpoint/${data.slug}`).then(show, () => {}); // the next answer asks again
  }, SETTLE_MS);
  document.addEventListener("nn2llm-answered", ask); // quiz.ts
  // An exercise shows a verdict: what it stands for is kept already.
  const verdicts = new MutationObserver((changes) => {
    const isVerdict = (node: Node) => node instanceof Element && node.matches(".exercise-verdict");
    if (changes.some(({ addedNodes }) => [...addedNodes].some(isVerdict))) ask();
  });
  for (const exercise of document.querySelectorAll(".exercise")) {
    verdicts.observe(exercise, { childList: true, subtree: true });
  }
  again.addEventListener("click", () => {
    again.disabled = true;
    post<SittingState>(`/api/checkpoint/${data.slug}/again`, {}).then(
      () => location.reload(), // the questions are part of the page
      (error: unknown) => {
        again.disabled = false;
        announce(error instanceof ApiError ? error.message : "That did not work.");
      },
    );
  });
}
