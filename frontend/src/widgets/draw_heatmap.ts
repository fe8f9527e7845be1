// Draw.heatmap: the reader paints a table in a few levels, presses Run, and the run stands beside it.
// Its Python half is figures/draw_heatmap.py.

import { inkOn, isDark, onTheme, ramp } from "./parts/colours.ts";
import { frame, h, onWidth, s, setAttributes, Spoken, uniqueId } from "./parts/dom.ts";
import { DrawPanel } from "./parts/draw_panel.ts";
import { cellsBetween, keep, keyOf, type Level, levelOf, pageStore, paint, recallTable } from "./parts/draw_sketch.ts";
import { type Model, type RenderContext, Reporter, watch } from "./parts/model.ts";
import { clamp, format } from "./parts/scale.ts";

const LARGEST_PX = 46;
const TOP_PX = 26;
const HELP =
  "Choose a level and paint with the pointer. Or with the keys: arrows go from cell to cell, Space paints, a digit " +
  "paints that level, Delete empties.";

class DrawHeatmapView {
  private readonly svg = s("svg", { class: "nf-svg", role: "application", tabindex: "0" });
  private readonly other = s("svg", { class: "nf-svg", role: "img" });
  private readonly cells = s("g", { "aria-hidden": "true" });
  private readonly cursor = s("rect", { class: "nf-cell-cursor", visibility: "hidden" });
  private readonly help = h("p", { class: "nf-help" }, HELP);
  private readonly brushes = h("div", { class: "nf-choice", role: "radiogroup", "aria-label": "level to paint with" });
  private readonly beside = h("div", {}, h("strong", {}, "the run"), this.other);
  private readonly spoken = new Spoken(false);
  private readonly panel: DrawPanel;
  private readonly reporter: Reporter;
  private readonly key: string;
  private readonly stops: (() => void)[] = [];
  private brush: Level;
  private here: [number, number] = [0, 0];
  private last: [number, number] | null = null;
  private width = 0;
  private left = 0;
  private cell = 10;

  constructor(
    private readonly model: Model,
    el: HTMLElement,
  ) {
    const root = frame(el, model, "draw");
    this.reporter = new Reporter(model, 150);
    this.brush = this.levels.length - 1;
    this.panel = new DrawPanel(model, [], {
      ready: () => this.sketch.some((row) => row.some((level) => level !== null)),
      ask: "Paint the cells you expect first, roughly. Being wrong is the point.",
      clear: () => {
        this.change(this.sketch.map((row) => row.map(() => null)));
        this.reporter.flush();
      },
      redraw: () => this.draw(),
    });
    this.makeBrushes();
    this.svg.append(this.cells, this.cursor);
    const mine = h("div", {}, h("strong", {}, "your sketch"), this.svg);
    const tables = h("div", { class: "nf-columns" }, mine, this.beside);
    root.append(this.help, this.brushes, tables, this.panel.element, this.spoken.element);
    this.svg.style.touchAction = "none";
    this.svg.addEventListener("pointerdown", (event) => this.onDown(event));
    this.svg.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of ["pointerup", "pointercancel"] as const) {
      this.svg.addEventListener(name, () => {
        this.last = null;
        this.reporter.flush();
      });
    }
    this.svg.addEventListener("keydown", (event) => this.onKey(event));
    this.svg.addEventListener("focus", () => this.showCursor(true));
    this.svg.addEventListener("blur", () => this.showCursor(false));
    this.key = keyOf(model.get("name"), model.get("title"), this.rows, this.columns, this.levels);
    const kept = recallTable(pageStore(), this.key, this.rows.length, this.columns.length, this.levels.length);
    if (kept && !this.sketch.some((row) => row.some((level) => level !== null))) {
      model.set("sketch", kept);
      model.save_changes();
    }
    this.stops.push(
      watch(model, ["answered"], () => this.panel.answered()),
      watch(model, ["sketch", "alt", "height"], () => this.draw()),
      watch(model, ["run"], () => {
        this.draw();
        this.panel.show();
      }),
      onWidth(root, (width) => {
        this.width = width;
        this.draw();
      }),
      onTheme(() => this.draw()),
      () => this.panel.remove(),
    );
    this.panel.show();
  }

  private get rows(): string[] {
    return this.model.get("rows");
  }

  private get columns(): string[] {
    return this.model.get("columns");
  }

  private get levels(): string[] {
    return this.model.get("levels");
  }

  private get sketch(): Level[][] {
    return this.model.get("sketch");
  }

  private makeBrushes(): void {
    const name = uniqueId();
    this.brushes.append(h("span", {}, `${this.model.get("names")[2]}:`));
    [...this.levels.keys()].forEach((level) => {
      const input = h("input", { type: "radio", name, value: level, checked: level === this.brush });
      input.addEventListener("change", () => {
        this.brush = level;
      });
      const swatch = h("span", { class: "nf-swatch", "data-level": level, "aria-hidden": "true" });
      this.brushes.append(h("label", {}, input, swatch, `${level + 1}: ${this.levels[level]}`));
    });
  }

  // --- painting -----------------------------------------------------------------------------------------------

  private cellAt(event: PointerEvent): [number, number] | null {
    const box = this.svg.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.left) / this.cell);
    const row = Math.floor((event.clientY - box.top - TOP_PX) / this.cell);
    const inside = row >= 0 && column >= 0 && row < this.rows.length && column < this.columns.length;
    return inside ? [row, column] : null;
  }

  private onDown(event: PointerEvent): void {
    const at = this.cellAt(event);
    if (!at || event.button !== 0 || !this.panel.open) return;
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    this.svg.focus({ preventScroll: true });
    this.last = this.here = at;
    this.change(paint(this.sketch, [at], this.brush));
  }

  private onMove(event: PointerEvent): void {
    const at = this.cellAt(event);
    if (!at || !this.last || !this.panel.open) return;
    if (at[0] === this.last[0] && at[1] === this.last[1]) return;
    const passed = cellsBetween(this.last, at);
    this.last = this.here = at;
    this.change(paint(this.sketch, passed, this.brush));
  }

  private change(sketch: Level[][]): void {
    const any = sketch.some((row) => row.some((level) => level !== null));
    keep(pageStore(), this.key, any ? sketch : null);
    this.panel.drawing();
    this.reporter.report({ sketch });
  }

  private onKey(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const moves: Record<string, [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const move = moves[event.key];
    const digit = Number(event.key) - 1;
    if (move) {
      this.here = [
        clamp(this.here[0] + move[0], 0, this.rows.length - 1),
        clamp(this.here[1] + move[1], 0, this.columns.length - 1),
      ];
      this.showCursor(true);
    } else if (event.key === " " || event.key === "Enter") this.paintHere(this.brush);
    else if (event.key === "Delete" || event.key === "Backspace") this.paintHere(null);
    else if (event.key !== " " && digit >= 0 && digit < this.levels.length) this.paintHere(digit);
    else return;
    event.preventDefault();
    this.spoken.say(this.describe());
  }

  private paintHere(level: Level): void {
    if (!this.panel.open) return;
    this.change(paint(this.sketch, [this.here], level));
    this.reporter.flush();
  }

  private describe(): string {
    const [row, column] = this.here;
    const [rowName, columnName, , unit] = this.model.get("names");
    const level = this.sketch[row]?.[column];
    const painted = level === null || level === undefined ? "empty" : this.levels[level];
    const where = `${rowName} ${this.rows[row]}, ${columnName} ${this.columns[column]}: ${painted}`;
    if (!this.panel.hasRun) return where;
    return `${where}, the run ${format(this.model.get("run")[row]?.[column], 3)}${unit ? ` ${unit}` : ""}`;
  }

  // --- showing ------------------------------------------------------------------------------------------------

  private showCursor(visible: boolean): void {
    setAttributes(this.cursor, {
      x: this.left + this.here[1] * this.cell,
      y: TOP_PX + this.here[0] * this.cell,
      width: this.cell,
      height: this.cell,
      visibility: visible ? "visible" : "hidden",
    });
  }

  private draw(): void {
    if (!this.width) return;
    const longest = Math.max(...this.rows.map((word) => word.length));
    this.left = Math.min(14 + 7.2 * longest, 92);
    const room = this.width >= 560 ? (this.width - 24) / 2 : this.width;
    this.cell = Math.max(8, Math.min(LARGEST_PX, (room - this.left - 6) / this.columns.length));
    const dark = isDark(this.svg);
    const colour = ramp("sequential", dark);
    const share = (level: Level) => (level === null ? NaN : level / (this.levels.length - 1));
    const run: (number | null)[][] = this.panel.hasRun ? this.model.get("run") : [];
    const limits: [number, number] = this.model.get("limits");
    const missed = (row: number, column: number) =>
      run.length > 0 &&
      this.sketch[row]?.[column] !== null &&
      levelOf(run[row]?.[column], limits, this.levels.length) !== this.sketch[row]?.[column];
    this.fill(this.svg, this.cells, (row, column) => {
      const level = this.sketch[row]?.[column] ?? null;
      return { share: share(level), text: level === null ? "" : String(level + 1), missed: missed(row, column) };
    }, colour);
    this.svg.setAttribute("aria-label", `${this.model.get("alt")} Arrow keys go from cell to cell.`);
    this.beside.hidden = run.length === 0;
    this.help.hidden = this.brushes.hidden = run.length > 0;
    if (run.length) {
      const group = s("g", { "aria-hidden": "true" });
      this.other.replaceChildren(group);
      this.fill(this.other, group, (row, column) => {
        const value = run[row]?.[column];
        const known = value === null || value === undefined ? NaN : (value - limits[0]) / (limits[1] - limits[0]);
        return { share: known, text: format(value, 2), missed: missed(row, column) };
      }, colour);
      this.other.setAttribute("aria-label", `The run. ${(this.model.get("words") as string[]).join(" ")}`);
    }
    for (const swatch of this.brushes.querySelectorAll<HTMLElement>(".nf-swatch")) {
      swatch.style.background = `rgb(${colour(share(Number(swatch.dataset["level"]))).join()})`;
    }
    this.showCursor(document.activeElement === this.svg);
  }

  private fill(
    svg: SVGSVGElement,
    group: SVGElement,
    at: (row: number, column: number) => { share: number; text: string; missed: boolean },
    colour: (share: number) => [number, number, number],
  ): void {
    const [width, height] = [this.left + this.cell * this.columns.length + 4, TOP_PX + this.cell * this.rows.length + 4];
    setAttributes(svg, { width, height, viewBox: `0 0 ${width} ${height}` });
    const parts: SVGElement[] = [];
    const everyColumn = Math.max(1, Math.ceil(26 / this.cell));
    this.columns.forEach((word, column) => {
      if (column % everyColumn) return;
      const x = this.left + (column + 0.5) * this.cell;
      parts.push(s("text", { x, y: TOP_PX - 7, "text-anchor": "middle" }, cut(word, Math.max(2, this.cell / 7))));
    });
    this.rows.forEach((word, row) => {
      const y = TOP_PX + (row + 0.5) * this.cell;
      parts.push(s("text", { x: this.left - 6, y: y + 4, "text-anchor": "end" }, cut(word, 12)));
      this.columns.forEach((_, column) => {
        const { share, text, missed } = at(row, column);
        const x = this.left + column * this.cell;
        const rgb = colour(share);
        const known = Number.isFinite(share);
        const paper = known ? `fill:rgb(${rgb.join()})` : "fill:transparent";
        parts.push(
          s("rect", { class: "nf-paint", x, y: y - this.cell / 2, width: this.cell, height: this.cell, style: paper }),
        );
        if (text && this.cell >= 18) {
          const ink = known ? `fill:${inkOn(rgb)}` : "";
          const mark = missed && this.cell >= 30 ? `${text} ×` : text;
          parts.push(
            s("text", { x: x + this.cell / 2, y: y + 4, "text-anchor": "middle", class: "nf-in-cell", style: ink }, mark),
          );
        }
      });
    });
    group.replaceChildren(...parts);
  }

  remove(): void {
    for (const stop of this.stops) stop();
  }
}

const cut = (word: string, most: number): string => (word.length > most ? `${word.slice(0, Math.floor(most) - 1)}…` : word);

export function render({ model, el }: RenderContext): () => void {
  const view = new DrawHeatmapView(model, el);
  return () => view.remove();
}

export default { render };
