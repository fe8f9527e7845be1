// HTML that the course's own server rendered from Markdown (no tag of an author or learner gets through it).

import { make } from "../../dom.ts";

/** An element that shows `html`, its formulas drawn. */
export function showHtml<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  html: string,
  attributes: Record<string, string | number | boolean | null> = {},
): HTMLElementTagNameMap[K] {
  const element = make(tag, attributes);
  const inert = document.createElement("template");
  inert.innerHTML = html;
  element.append(inert.content);
  if (element.querySelector(".math[data-tex]")) {
    void import("../mathematics.ts").then(({ renderMathematics }) => renderMathematics(element));
  }
  return element;
}
