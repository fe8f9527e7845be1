// The editor of one cell: CodeMirror 6 with Python, line numbers, and keys that leave no keyboard trap.
//
// A chunk of its own: the page is read before it has come. Colours are classes, set in styles/editor.css for
// both themes, the same as those of the <pre> that it replaces.

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { Annotation, EditorState, type Extension, Prec } from "@codemirror/state";
import { EditorView, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";

import { announce, readNonce } from "../dom.ts";
import { type AskLens, shapeLens } from "./lens.ts";

const DESCRIPTION = "Tab indents. Press Escape, then Tab, to leave the editor. Shift-Enter runs.";

/** Marks a change that did not come from this keyboard (another tab, reset), so that it is not sent back. */
const fromOutside = Annotation.define<boolean>();

export interface EditorActions {
  onEdit(code: string): void;
  run(): void;
  runAndGoOn(): void;
  /** Without it the editor has no shape lens: what it holds runs in no kernel. */
  askLens?: AskLens;
  /** What a screen reader says of its keys. */
  description?: string;
  extras?: Extension;
}

export class Editor {
  readonly view: EditorView;

  constructor(parent: HTMLElement, code: string, label: string, actions: EditorActions) {
    this.view = new EditorView({ parent, state: makeState(code, label, actions) });
  }

  get code(): string {
    return this.view.state.doc.toString();
  }

  /** Replace the code and keep the cursor where it was, as far as the text around it is the same. */
  set code(code: string) {
    const old = this.code;
    if (old === code) return;
    let start = 0;
    while (start < old.length && start < code.length && old[start] === code[start]) start++;
    let end = 0;
    const room = Math.min(old.length, code.length) - start;
    while (end < room && old[old.length - 1 - end] === code[code.length - 1 - end]) end++;
    this.view.dispatch({
      changes: { from: start, to: old.length - end, insert: code.slice(start, code.length - end) },
      annotations: fromOutside.of(true),
    });
  }

  get hasFocus(): boolean {
    return this.view.hasFocus;
  }

  focus(): void {
    this.view.focus();
  }

  /** Put the cursor at the start of a line (from 1) and show it. */
  goToLine(line: number): void {
    const { doc } = this.view.state;
    const target = doc.line(Math.max(1, Math.min(line, doc.lines)));
    const first = target.from + (/^\s*/.exec(target.text)?.[0].length ?? 0);
    this.view.dispatch({
      selection: { anchor: first },
      effects: EditorView.scrollIntoView(first, { y: "center" }),
    });
    this.view.focus();
  }

  /** Put the cursor where the reader clicked while this was still plain text. */
  placeCursor(x: number, y: number): void {
    const position = this.view.posAtCoords({ x, y });
    if (position !== null) this.view.dispatch({ selection: { anchor: position } });
    this.view.focus();
  }
}

function makeState(code: string, label: string, actions: EditorActions): EditorState {
  return EditorState.create({
    doc: code,
    extensions: [
      EditorView.cspNonce.of(readNonce()),
      lineNumbers(),
      highlightSpecialChars(),
      history(),
      EditorState.tabSize.of(4),
      indentUnit.of("    "),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
      python(),
      syntaxHighlighting(classHighlighter),
      EditorView.contentAttributes.of({
        "aria-label": label,
        "aria-description": actions.description ?? DESCRIPTION,
        tabindex: "0",
        spellcheck: "false",
        autocorrect: "off",
        autocapitalize: "off",
        translate: "no",
      }),
      actions.askLens ? shapeLens(actions.askLens) : [],
      actions.extras ?? [],
      leavingByTab(),
      Prec.highest(
        keymap.of([
          { key: "Shift-Enter", run: act(actions.runAndGoOn) },
          { key: "Mod-Enter", run: act(actions.run) },
        ]),
      ),
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, indentWithTab]),
      EditorView.updateListener.of((update) => {
        if (!update.docChanged) return;
        const outside = update.transactions.some((transaction) => transaction.annotation(fromOutside));
        if (!outside) actions.onEdit(update.state.doc.toString());
      }),
    ],
  });
}

/** Escape makes the next Tab leave; typing makes Tab indent again. */
function leavingByTab() {
  return [
    Prec.low(
      keymap.of([
        {
          key: "Escape",
          run: (view) => {
            view.setTabFocusMode(true);
            announce("Tab now leaves the editor.");
            return true;
          },
        },
      ]),
    ),
    EditorView.updateListener.of((update) => {
      if (update.docChanged || (update.focusChanged && !update.view.hasFocus)) update.view.setTabFocusMode(false);
    }),
  ];
}

function act(action: () => void): () => boolean {
  return () => {
    action();
    return true;
  };
}
