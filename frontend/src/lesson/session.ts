// The lesson's end of the websocket: cells, kernel, lens and widgets follow the server's events.
//
// State comes from the server; only what the learner types is older here than there. It is sent 300 ms after
// the last key, kept in localStorage until it has surely arrived, and sent again after a reconnection.

import { announce, debounce, distanceFromView } from "../dom.ts";
import { showBrokenCheck, showVerdict } from "./equations.ts";
import { CellView } from "./cell.ts";
import { Connection } from "./connection.ts";
import { Drafts } from "./drafts.ts";
import type { Names } from "./lens.ts";
import type { CellStatus, KernelState, LessonData, ServerEvent } from "./protocol.ts";
import { WidgetHost } from "../widget_host/host.ts";
import { sayDuration } from "../words.ts";

const AUTOSAVE_MS = 300;
/** What was sent this shortly before the connection went may not have arrived. */
const DOUBTFUL_MS = 10_000;
/** What was typed this shortly ago may have crossed with the server's message. */
const RECENT_MS = 2000;
const LENS_WAIT_MS = 1500;
const SPOKEN_CHARACTERS = 200;

export interface SessionEvents {
  onKernel(kernel: KernelState): void;
  onConnection(open: boolean, attempt: number): void;
  onTrouble(message: string): void;
  /** Whether a cell of the learner's runs or waits; else, whether figures and checks do. */
  onActivity(active: boolean, drawing: boolean): void;
}

interface Pending {
  save: ReturnType<typeof debounce>;
  sent: boolean;
}

export class Session {
  readonly cells: CellView[] = [];
  private readonly byId = new Map<string, CellView>();
  private readonly connection: Connection;
  private readonly drafts: Drafts;
  private readonly widgets: WidgetHost;
  private readonly pending = new Map<string, Pending>();
  private readonly lensAnswers = new Map<string, Names>();
  private readonly lensWaiting = new Map<string, ((names: Names) => void)[]>();
  private sessionId: string | null = null;
  private seen = new Set<string>();

  constructor(
    data: LessonData,
    private readonly events: SessionEvents,
  ) {
    this.drafts = new Drafts(data.slug);
    this.widgets = new WidgetHost((comm_id, message, buffers) =>
      this.connection.send({ type: "comm", comm_id, data: message, buffers }),
    );
    for (const info of data.cells) {
      const element = document.querySelector<HTMLElement>(`.cell[data-cell="${CSS.escape(info.id)}"]`);
      if (element) this.addCell(new CellView(element, info, this.actions(), this.outputContext()));
    }
    this.cells.find((cell) => cell.isLearners)?.invite();
    this.connection = new Connection(data.ws, {
      onEvent: (event) => this.receive(event),
      onOpen: () => events.onConnection(true, 0),
      onLost: (attempt) => {
        this.doubtRecentEdits();
        this.answerAllLenses();
        events.onConnection(false, attempt);
      },
    });
    addEventListener("pagehide", () => this.flush());
  }

  cell(id: string): CellView | undefined {
    return this.byId.get(id);
  }

  /** Run a cell as its button does; false where there is no connection. */
  runCell(cell: CellView): boolean {
    return this.run(cell);
  }

  runAll(): void {
    this.flush();
    this.order({ type: "run_all" });
  }

  restart(): void {
    this.flush();
    this.order({ type: "restart" });
  }

  stop(): void {
    this.order({ type: "stop" });
  }

  /** Figures and checks that came near the window: the server runs those first. */
  tellVisible(ids: string[]): void {
    for (const id of ids) this.seen.add(id);
    this.connection.send({ type: "visible", cells: ids });
  }

  /** Send every edit that still waits for its 300 ms. */
  flush(): void {
    for (const { save } of this.pending.values()) save.flush();
  }

  private addCell(cell: CellView): void {
    this.cells.push(cell);
    this.byId.set(cell.id, cell);
  }

  private actions() {
    return {
      run: (cell: CellView) => this.run(cell),
      runAbove: (cell: CellView) => {
        this.flush();
        this.order({ type: "run_above", cell: cell.id });
      },
      runAndGoOn: (cell: CellView) => {
        this.run(cell);
        const next = this.cells.slice(this.cells.indexOf(cell) + 1).find((other) => other.isLearners);
        // A book has text between its cells: what this one prints must not be scrolled away.
        if (next && distanceFromView(next.element) === 0) {
          void next.focus().then(() => next.element.scrollIntoView({ block: "nearest" }));
        }
      },
      stop: () => this.stop(),
      reset: (cell: CellView) => {
        if (!this.order({ type: "reset", cell: cell.id })) return;
        this.settle(cell);
        cell.setCode(cell.info.code);
        announce(`Cell ${cell.id} is as in the lesson again.`);
      },
      edited: (cell: CellView) => this.noteEdit(cell),
      clearOld: () => this.order({ type: "clear_old" }),
      askLens: (cell: CellView) => this.askLens(cell),
    };
  }

  private outputContext() {
    return {
      goTo: (id: string, line: number) => void this.byId.get(id)?.focus(line),
      onVerdict: showVerdict,
      mountWidget: (id: string, element: HTMLElement) => this.widgets.mount(id, element),
    };
  }

  private run(cell: CellView): boolean {
    this.pending.get(cell.id)?.save.flush();
    return this.order({ type: "run", cell: cell.id, code: cell.code });
  }

  private order(message: Parameters<Connection["send"]>[0]): boolean {
    const sent = this.connection.send(message);
    if (!sent) this.events.onTrouble("There is no connection to the course: nothing was run. What you type is kept.");
    return sent;
  }

  // --- edits -------------------------------------------------------------------------------------------------

  private noteEdit(cell: CellView): void {
    let pending = this.pending.get(cell.id);
    if (!pending) {
      pending = { sent: false, save: debounce(() => this.sendEdit(cell), AUTOSAVE_MS) };
      this.pending.set(cell.id, pending);
    }
    pending.sent = false;
    this.drafts.keep(cell.id, cell.code);
    pending.save();
  }

  private sendEdit(cell: CellView): void {
    const pending = this.pending.get(cell.id);
    if (!pending || !this.connection.send({ type: "edit", cell: cell.id, code: cell.code })) return;
    pending.sent = true;
    const code = cell.code;
    setTimeout(() => {
      if (pending.sent && cell.code === code) this.settle(cell);
    }, DOUBTFUL_MS);
  }

  /** What was typed in this cell is surely at the server. */
  private settle(cell: CellView): void {
    this.pending.delete(cell.id);
    this.drafts.drop(cell.id);
  }

  private doubtRecentEdits(): void {
    for (const pending of this.pending.values()) pending.sent = false;
  }

  // --- events ------------------------------------------------------------------------------------------------

  private receive(event: ServerEvent): void {
    switch (event.type) {
      case "state":
        this.takeState(event);
        break;
      case "status": {
        const cell = this.byId.get(event.cell);
        if (!cell) break;
        const before = cell.status;
        cell.showStatus(event.status, event.elapsed_s ?? null, event.because ?? null);
        this.lensAnswers.clear();
        this.speak(cell, before, event.elapsed_s ?? null);
        noteBrokenCheck(cell);
        this.tellActivity();
        break;
      }
      case "clear": {
        const cell = this.byId.get(event.cell);
        cell?.outputs.clear();
        break;
      }
      case "output":
        this.byId.get(event.cell)?.outputs.add(event.output);
        break;
      case "update":
        this.byId.get(event.cell)?.outputs.update(event.index, event.output);
        break;
      case "code":
        this.takeCode(event.cell, event.code, event.tab ?? null);
        break;
      case "kernel":
        this.events.onKernel(event);
        if (event.status === "dead" || event.status === "evicted") this.answerAllLenses();
        break;
      case "lens":
        this.lensAnswers.set(event.cell, event.names);
        for (const answer of this.lensWaiting.get(event.cell) ?? []) answer(event.names);
        this.lensWaiting.delete(event.cell);
        break;
      case "comm":
        this.widgets.handle(event);
        break;
      case "trouble":
        this.events.onTrouble(event.message);
        break;
    }
  }

  private takeState(event: Extract<ServerEvent, { type: "state" }>): void {
    if (this.sessionId !== null && this.sessionId !== event.session) this.widgets.forget();
    this.sessionId = event.session;
    this.lensAnswers.clear();
    // Models first: the outputs below ask for their views.
    this.widgets.setModels(event.models ?? {});
    for (const [id, state] of Object.entries(event.cells)) {
      const cell = this.byId.get(id);
      if (!cell) continue;
      this.mergeCode(cell, state.code ?? cell.info.code);
      cell.applyState(state);
      noteBrokenCheck(cell);
    }
    this.events.onKernel(event.kernel);
    this.tellActivity();
    if (this.seen.size > 0) this.connection.send({ type: "visible", cells: [...this.seen] });
  }

  /** The server's code, unless something newer was typed here or left as a draft by a page that was cut off. */
  private mergeCode(cell: CellView, theirs: string): void {
    const pending = this.pending.get(cell.id);
    const typing = performance.now() - cell.editedAt < RECENT_MS;
    const mine = pending && (!pending.sent || typing) ? cell.code : pending ? null : this.drafts.read(cell.id);
    if (mine === null || mine === theirs) {
      this.settle(cell);
      cell.setCode(theirs);
      return;
    }
    cell.setCode(mine);
    this.noteEdit(cell);
    this.pending.get(cell.id)?.save.flush();
  }

  private takeCode(id: string, code: string | null, tab: string | null): void {
    const cell = this.byId.get(id);
    if (!cell) return;
    const theirs = code ?? cell.info.code;
    if (tab === this.connection.tab) {
      if (theirs === cell.code) this.settle(cell);
      return;
    }
    // Two people do not type in one cell; who types last wins, and that is who types here now.
    if (this.pending.has(id) && !this.pending.get(id)?.sent) return;
    this.settle(cell);
    cell.setCode(theirs);
  }

  private speak(cell: CellView, before: CellStatus, elapsed_s: number | null): void {
    const { status } = cell;
    if (!cell.isLearners || before === status) return;
    if (status === "done" || status === "error" || status === "stopped") {
      const time = elapsed_s === null ? "" : ` after ${sayDuration(elapsed_s)}`;
      const words = { done: "finished", error: "ended with an error", stopped: "was stopped" }[status];
      const text = cell.outputs.text.replace(/\s+/g, " ").slice(0, SPOKEN_CHARACTERS);
      announce(`Cell ${cell.id} ${words}${time}. ${text}`);
    }
  }

  private tellActivity(): void {
    const active = this.cells.filter((cell) => cell.isActive);
    const mine = active.some((cell) => cell.isLearners);
    this.events.onActivity(mine, !mine && active.length > 0);
  }

  // --- the lens ----------------------------------------------------------------------------------------------

  private askLens(cell: CellView): Promise<Names> {
    const known = this.lensAnswers.get(cell.id);
    if (known) return Promise.resolve(known);
    return new Promise((resolve) => {
      const waiting = this.lensWaiting.get(cell.id) ?? [];
      waiting.push(resolve);
      this.lensWaiting.set(cell.id, waiting);
      if (!this.connection.send({ type: "lens", cell: cell.id })) resolve({});
      setTimeout(() => resolve({}), LENS_WAIT_MS);
    });
  }

  private answerAllLenses(): void {
    for (const waiting of this.lensWaiting.values()) for (const answer of waiting) answer({});
    this.lensWaiting.clear();
    this.lensAnswers.clear();
  }
}

function noteBrokenCheck(cell: CellView): void {
  const { eq } = cell.element.dataset;
  if (cell.info.kind === "verify" && cell.status === "error" && eq) showBrokenCheck(eq);
}
