// The keys, in a dialog: `?` opens it, and so does any element with data-help.

import { make, makeButton } from "../dom.ts";
import { isTyping } from "./search.ts";

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const MOD = isMac ? "⌘" : "Ctrl";

const ANYWHERE: [string[], string][] = [
  [["/"], "Search"],
  [["?"], "This help"],
  [["Esc"], "Close what is open"],
];
const IN_LESSON: [string[], string][] = [
  [["n"], "Next lesson"],
  [["p"], "Previous lesson"],
  [["1 – 9"], "In a question: choose an answer; Enter sends it"],
  [["Shift", "Enter"], "Run the cell and go to the next, if it is in view"],
  [[MOD, "Enter"], "Run the cell and stay; in an exercise: check it"],
  [["d"], "In the verdict of an exercise: name the mistake"],
  [["F1"], "What the variable at the cursor holds (also Ctrl-Space; with the mouse: point at it)"],
  [["Tab"], "Indent"],
  [["Esc", "then Tab"], "Leave the editor"],
  [[MOD, "Z"], "Undo"],
  [[MOD, "/"], "Comment lines in or out"],
];

export function startHelp(): void {
  let dialog: HTMLDialogElement | null = null;
  const open = () => {
    dialog ??= build();
    if (!dialog.open) dialog.showModal();
  };
  for (const button of document.querySelectorAll<HTMLElement>("[data-help]")) {
    button.hidden = false;
    button.addEventListener("click", open);
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    event.preventDefault();
    open();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const rel = { n: "next", p: "prev" }[event.key];
    if (rel) document.querySelector<HTMLAnchorElement>(`a[rel="${rel}"]`)?.click();
  });
}

function build(): HTMLDialogElement {
  const dialog = make(
    "dialog",
    { class: "help-dialog", "aria-labelledby": "help-title" },
    make("h2", { id: "help-title" }, "Keys"),
    renderKeys("Everywhere", ANYWHERE),
    renderKeys("In a lesson", IN_LESSON),
    makeButton("Close", () => dialog.close(), { autofocus: true }),
  );
  // A click beside the dialog closes it.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  return dialog;
}

function renderKeys(title: string, keys: [string[], string][]): HTMLElement {
  return make(
    "section",
    {},
    make("h3", {}, title),
    make(
      "dl",
      {},
      ...keys.flatMap(([names, what]) => [
        make("dt", {}, ...names.flatMap((name, i) => [i > 0 ? " " : null, make("kbd", {}, name)])),
        make("dd", {}, what),
      ]),
    ),
  );
}
