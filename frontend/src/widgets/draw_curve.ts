// Draw.curve: the reader sketches a curve by pointer or keys, presses Run, and the run is drawn over it.
// Its Python half is figures/draw_curve.py.

import { Chart } from "./parts/chart.ts";
import { calm, frame, h, onWidth, s, setAttributes } from "./parts/dom.ts";
import { DrawPanel } from "./parts/draw_panel.ts";
import {
  countDrawn,
  type Height,
  heightAt,
  keep,
  keyOf,
  nearestHeight,
  nearestPlace,
  pageStore,
  recallCurve,
  stroke,
} from "./parts/draw_sketch.ts";
import { Handle } from "./parts/handle.ts";
import { colourOf, dashOf, drawLegend, drawMark, type LegendItem, linePath } from "./parts/marks.ts";
import { type Model, type RenderContext, Reporter, watch } from "./parts/model.ts";
import { axisName, clamp, format } from "./parts/scale.ts";

const SKETCH = 1;
const RUN = 0;
const RUN_MS = 900;
const HELP =
  "Draw from left to right, roughly. With the keys: Tab to the point, ← → choose a place, ↑ ↓ set its height, " +
  "Delete takes it away.";

class DrawCurveView {
  private readonly chart = new Chart();
  private readonly legend = h("div");
  private readonly help = h("p", { class: "nf-help" }, HELP);
  private readonly panel: DrawPanel;
  private readonly reporter: Reporter;
  private readonly handle: Handle;
  private readonly sketchLine = s("path", {
    fill: "none",
    stroke: colourOf(SKETCH),
    "stroke-width": 3,
    "stroke-dasharray": dashOf(SKETCH),
    "stroke-linejoin": "round",
  });
  private readonly dots = s("g");
  /** Where the curve is known to start: on the axis, so it must not be cut. */
  private readonly known = s("g");
  private readonly runLine = s("path", {
    fill: "none",
    stroke: colourOf(RUN),
    "stroke-width": 3,
    "stroke-linejoin": "round",
  });
  private readonly key: string;
  private readonly stops: (() => void)[] = [];
  private place = 0;
  private last: { at: number; y: number } | null = null;
  private width = 0;
  private frames = 0;

  constructor(
    private readonly model: Model,
    el: HTMLElement,
  ) {
    const root = frame(el, model, "draw");
    this.reporter = new Reporter(model, 150);
    this.place = Math.min(this.given, this.xs.length - 1);
    this.panel = new DrawPanel(model, {}, {
      ready: () => countDrawn(this.sketch) >= 2,
      ask: "Sketch the curve you expect first: from left to right, roughly. Being wrong is the point.",
      clear: () => this.clear(),
      redraw: () => this.draw(this.panel.hasRun && !calm()),
    });
    this.handle = new Handle(
      {
        label: "point of your sketch: left and right choose a place, up and down set its height, Delete takes it away",
        text: () => this.describe(),
        drag: (x, y) => this.strokeTo(x, y),
        nudge: (right, up) => this.nudge(right, up),
        done: () => {
          this.last = null;
          this.reporter.flush();
        },
        key: (event) => this.onKey(event.key),
      },
      (event) => this.chart.at(event),
      s("circle", { class: "nf-handle-dot", r: 7, style: `fill:${colourOf(SKETCH)}` }),
    );
    this.chart.marks.append(this.runLine, this.sketchLine, this.dots);
    this.chart.top.append(this.known, this.handle.element);
    root.append(this.help, this.legend, this.chart.box, this.panel.element);
    const { svg } = this.chart;
    svg.removeAttribute("tabindex");
    svg.setAttribute("role", "group");
    svg.style.touchAction = "none";
    svg.addEventListener("pointerdown", (event) => this.onDown(event));
    svg.addEventListener("pointermove", (event) => {
      if (this.last && !this.handle.dragging) this.strokeTo(...this.at(event));
    });
    for (const name of ["pointerup", "pointercancel"] as const) {
      svg.addEventListener(name, () => {
        this.last = null;
        this.reporter.flush();
      });
    }
    const { range } = model.get("y_axis");
    const [x, y] = [model.get("x_axis"), model.get("y_axis")];
    this.key = keyOf(model.get("name"), model.get("title"), x.label, x.range, y.label, y.range);
    if (countDrawn(this.sketch) <= this.given) {
      const kept = recallCurve(pageStore(), this.key, this.xs.length, range);
      if (kept) {
        model.set("sketch", this.withStart(kept));
        model.save_changes();
      }
    }
    this.stops.push(
      watch(model, ["answered"], () => this.panel.answered()),
      watch(model, ["sketch", "x_axis", "y_axis", "alt", "height"], () => this.draw(false)),
      watch(model, ["run"], () => {
        if (!this.panel.hasRun) this.draw(false);
        this.panel.show();
      }),
      onWidth(root, (width) => {
        this.width = width;
        this.draw(false);
      }),
      () => this.panel.remove(),
      () => cancelAnimationFrame(this.frames),
    );
    this.panel.show();
  }

  private get xs(): number[] {
    return this.model.get("xs");
  }

  private get sketch(): Height[] {
    return this.model.get("sketch");
  }

  /** How many points the chart brings: 1 where the start is known. */
  private get given(): number {
    return this.model.get("start") === null || this.model.get("start") === undefined ? 0 : 1;
  }

  private withStart(sketch: Height[]): Height[] {
    return this.given ? [this.model.get("start"), ...sketch.slice(1)] : sketch;
  }

  private get limits(): [number, number] {
    return this.model.get("y_axis").range;
  }

  private at(event: PointerEvent): [number, number] {
    const { x, y } = this.chart.at(event);
    return [x, y];
  }

  // --- drawing ------------------------------------------------------------------------------------------------

  private onDown(event: PointerEvent): void {
    if (event.button !== 0 || !this.panel.open) return;
    const place = this.chart.at(event);
    if (!this.chart.inside(place)) return;
    event.preventDefault();
    this.chart.svg.setPointerCapture(event.pointerId);
    this.handle.element.focus({ preventScroll: true });
    this.strokeTo(place.x, place.y);
  }

  private strokeTo(x: number, y: number): void {
    if (!this.panel.open) return;
    const at = nearestPlace(this.xs, this.chart.x.value(x));
    const tall = clamp(y, this.chart.upper, this.chart.lower);
    const from = this.last ?? { at, y: tall };
    // in pixels, so that a straight stroke is straight on a logarithmic axis too
    const pixels = this.sketch.map((height) => (height === null ? null : this.chart.y.px(height)));
    const next = stroke(pixels, from.at, from.y, at, tall).map((pixel, place) =>
      pixel === null || pixel === pixels[place] ? (this.sketch[place] ?? null) : this.round(this.chart.y.value(pixel)),
    );
    this.last = { at, y: tall };
    this.place = at;
    this.change(next);
  }

  private round(height: number): number {
    return clamp(Number(height.toPrecision(5)), ...this.limits);
  }

  private change(sketch: Height[]): void {
    const next = this.withStart(sketch);
    keep(pageStore(), this.key, countDrawn(next) > this.given ? next : null);
    this.panel.drawing();
    this.reporter.report({ sketch: next });
  }

  private nudge(right: number, up: number): void {
    if (!this.panel.open) return;
    if (right) {
      this.place = clamp(this.place + right, 0, this.xs.length - 1);
      this.draw(false);
      return;
    }
    const tall = this.chart.lower - this.chart.upper;
    const next = [...this.sketch];
    next[this.place] = this.round(this.chart.y.value(this.chart.y.px(this.height()) - (up * tall) / 50));
    this.change(next);
  }

  private onKey(key: string): boolean {
    if (key === "Home" || key === "End") this.place = key === "Home" ? 0 : this.xs.length - 1;
    else if (key === "Delete" || key === "Backspace") {
      if (this.panel.open) this.change(this.sketch.map((height, at) => (at === this.place ? null : height)));
      return true;
    } else if (key === "Enter" || key === " ") {
      // sets the point where it stands
      if (this.panel.open) this.nudge(0, 0);
      return true;
    } else return false;
    this.draw(false);
    return true;
  }

  private clear(): void {
    this.place = Math.min(this.given, this.xs.length - 1);
    this.change(this.xs.map(() => null));
    this.reporter.flush();
  }

  /** Where the point stands: on the sketch, else as high as what is drawn nearest, else in the middle. */
  private height(): number {
    const { y, upper, lower } = this.chart;
    return heightAt(this.sketch, this.place) ?? nearestHeight(this.sketch, this.place) ?? y.value((upper + lower) / 2);
  }

  private describe(): string {
    const [x, y] = [this.model.get("x_axis"), this.model.get("y_axis")];
    const where = `${axisName(x)} ${format(this.xs[this.place])}, ${axisName(y)} ${format(this.height(), 3)}`;
    if (this.given && this.place === 0) return `${where}, known`;
    return `${where}, ${this.sketch[this.place] === null ? "not drawn" : "drawn"}`;
  }

  // --- showing ------------------------------------------------------------------------------------------------

  private draw(moving: boolean): void {
    if (!this.width) return;
    const height = this.model.get("height") || clamp(this.width * 0.52, 240, 360);
    const [x, y] = [this.model.get("x_axis"), this.model.get("y_axis")];
    this.chart.layout(
      this.width,
      height,
      { label: x.label, unit: x.unit, low: x.range[0], high: x.range[1] },
      { label: y.label, unit: y.unit, log: y.log, low: y.range[0], high: y.range[1] },
    );
    this.chart.svg.setAttribute("aria-label", this.model.get("alt"));
    this.chart.svg.style.cursor = this.panel.open ? "crosshair" : "default";
    const spots: [number, number][] = [];
    this.sketch.forEach((tall, at) => {
      if (tall !== null) spots.push([this.chart.x.px(this.xs[at] as number), this.chart.y.px(tall)]);
    });
    this.sketchLine.setAttribute("d", linePath(spots));
    const start = this.given ? spots[0] : undefined;
    const dots = spots.length > 12 ? [] : spots.slice(this.given);
    this.dots.replaceChildren(...dots.map(([px, py]) => s("circle", { cx: px, cy: py, r: 3.5, fill: colourOf(SKETCH) })));
    this.known.replaceChildren(...(start ? [drawMark("square", ...start, 5, colourOf(SKETCH))] : []));
    this.help.hidden = this.panel.hasRun;
    this.handle.element.style.display = this.panel.hasRun ? "none" : "";
    this.handle.place(this.chart.x.px(this.xs[this.place] as number), this.chart.y.px(this.height()));
    const items: LegendItem[] = [{ kind: "line", name: "your sketch", style: SKETCH }];
    if (this.panel.hasRun) items.push({ kind: "line", name: "the run", style: RUN });
    this.legend.replaceChildren(drawLegend(items));
    this.drawRun(moving);
  }

  private drawRun(moving: boolean): void {
    cancelAnimationFrame(this.frames);
    setAttributes(this.runLine, { d: null });
    if (!this.panel.hasRun) return;
    const { x, y } = this.model.get("run") as { x: number[]; y: (number | null)[] };
    const spots = y.map((tall, at): [number, number] | null =>
      tall === null ? null : [this.chart.x.px(x[at] as number), this.chart.y.px(tall)],
    );
    const began = performance.now();
    const grow = () => {
      const share = moving ? Math.min(1, (performance.now() - began) / RUN_MS) : 1;
      this.runLine.setAttribute("d", linePath(spots.slice(0, Math.ceil(share * spots.length))));
      if (share < 1) this.frames = requestAnimationFrame(grow);
    };
    grow();
  }

  remove(): void {
    for (const stop of this.stops) stop();
  }
}

export function render({ model, el }: RenderContext): () => void {
  const view = new DrawCurveView(model, el);
  return () => view.remove();
}

export default { render };
