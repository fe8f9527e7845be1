// The exercises of a lesson come alive when they come near; until then the server's text stands.

import { make } from "../../dom.ts";
import type { ExerciseInfo } from "./types.ts";

const NEAR = "900px 0px";

export function startExercises(data: { slug: string; exercises?: ExerciseInfo[] }): void {
  const infos = new Map((data.exercises ?? []).map((info) => [info.name, info]));
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const section = target as HTMLElement;
        const info = infos.get(section.dataset["exercise"] ?? "");
        if (!isIntersecting || !info) continue;
        observer.unobserve(section);
        void open(section, data.slug, info);
      }
    },
    { rootMargin: NEAR },
  );
  for (const section of document.querySelectorAll("section.exercise[data-exercise]")) observer.observe(section);
}

async function open(section: HTMLElement, slug: string, info: ExerciseInfo): Promise<void> {
  section.querySelector(".exercise-trouble")?.remove();
  try {
    const { ExercisePanel } = await import("./panel.ts");
    await ExercisePanel.open(section, slug, info);
  } catch (error) {
    const again = make("button", { type: "button" }, "Try again");
    again.addEventListener("click", () => void open(section, slug, info));
    const words = error instanceof Error ? error.message : String(error);
    section.append(make("p", { class: "exercise-notice exercise-trouble", role: "alert" }, `${words} `, again));
  }
}
