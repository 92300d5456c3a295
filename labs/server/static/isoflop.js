"use strict";
// Draws the caller's IsoFLOP figure as SVG: loss against size, one colour a budget. Colours come from page.css.

const SVG = "http://www.w3.org/2000/svg";
const FIGURE = { width: 640, height: 400, left: 78, right: 14, top: 14, bottom: 46 };
const COLOURS = 8;

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function flops(value) {
  const [mantissa, exponent] = value.toExponential(1).split("e");
  const raised = [...String(Number(exponent))].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
  return mantissa === "1.0" ? `10${raised}` : `${Number(mantissa)}×10${raised}`;
}

function spread(values, margin) {
  const low = Math.min(...values), high = Math.max(...values);
  const pad = Math.max((high - low) * margin, 1e-3);
  return [low - pad, high + pad];
}

function sizeTicks([low, high]) {
  const found = [];
  for (let k = Math.floor(low); k <= high; k++) {
    for (const m of high - low > 1.6 ? [1, 3] : [1, 2, 5]) {
      if (Math.log10(m) + k >= low && Math.log10(m) + k <= high) found.push(m * 10 ** k);
    }
  }
  return found;
}

function lossTicks([low, high]) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
}

function axes(svg, x, y, xs, ys) {
  const { width, height, left, right, top, bottom } = FIGURE;
  const digits = Math.max(0, 1 - Math.floor(Math.log10((ys[1] - ys[0]) / 5)));
  for (const size of sizeTicks(xs)) {
    svg.append(element("line", { class: "grid", x1: x(size), x2: x(size), y1: top, y2: height - bottom }));
    svg.append(element("text", { x: x(size), y: height - bottom + 20, "text-anchor": "middle" }, compact(size)));
  }
  for (const loss of lossTicks(ys)) {
    svg.append(element("line", { class: "grid", x1: left, x2: width - right, y1: y(loss), y2: y(loss) }));
    svg.append(element("text", { x: left - 8, y: y(loss) + 5, "text-anchor": "end" }, loss.toFixed(digits)));
  }
  svg.append(element("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" },
    "parameters N, without the embedding"));
  svg.append(element("text", { transform: `translate(18 ${(top + height - bottom) / 2}) rotate(-90)`,
    "text-anchor": "middle" }, "loss, nats a token"));
}

function titled(mark, words) {
  mark.append(element("title", {}, words));
  return mark;
}

// The figure of `GET /isoflop`, or null where there is nothing to draw.
function isoflopFigure({ runs, budgets }) {
  if (!runs.length) return null;
  const minima = budgets.map((budget) => budget.minimum).filter(Boolean);
  const xs = spread(runs.map((run) => Math.log10(run.n_params_non_embedding)), 0.05);
  const ys = spread([...runs, ...minima].map((point) => point.loss), 0.06);
  const { width, height, left, right, top, bottom } = FIGURE;
  const x = (size) => left + ((Math.log10(size) - xs[0]) / (xs[1] - xs[0])) * (width - left - right);
  const y = (loss) => height - bottom - ((loss - ys[0]) / (ys[1] - ys[0])) * (height - top - bottom);
  const svg = element("svg", { class: "isoflop", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Loss against size of ${pluralize(runs.length, "run")} at ${pluralize(budgets.length, "budget")}; the table below has the same.` });
  axes(svg, x, y, xs, ys);
  budgets.forEach(({ curve, minimum }, k) => {
    const points = curve.filter((p) => p.loss >= ys[0] && p.loss <= ys[1]);
    svg.append(element("polyline", { class: `curve c${k % COLOURS}${minimum ? "" : " open"}`,
      points: points.map((p) => `${x(p.n_params).toFixed(1)},${y(p.loss).toFixed(1)}`).join(" ") }));
  });
  for (const run of runs) {
    const colour = run.budget === null ? "none" : `c${run.budget % COLOURS}`;
    svg.append(titled(element("circle", { class: `run ${colour}`, cx: x(run.n_params_non_embedding), cy: y(run.loss), r: 5 }),
      `run ${run.experiment_id}: ${compact(run.n_params_non_embedding)} parameters, ${compact(run.n_tokens)} tokens, ` +
      `${flops(run.flops)} FLOPs, loss ${run.loss.toFixed(4)}`));
  }
  for (const point of minima) {
    const [cx, cy] = [x(point.n_params), y(point.loss)];
    svg.append(titled(element("path", { class: "minimum", d: `M${cx} ${cy - 7}l7 7l-7 7l-7-7z` }),
      `minimum: ${compact(point.n_params)} parameters, loss ${point.loss.toFixed(4)}`));
  }
  return svg;
}

// Rows of the table beside the figure: a budget, how many runs, and where its minimum is.
function isoflopRows({ runs, budgets }) {
  return budgets.map((budget, k) => [
    k, flops(budget.flops), String(runs.filter((run) => run.budget === k).length),
    budget.minimum ? `${compact(budget.minimum.n_params)} parameters, loss ${budget.minimum.loss.toFixed(3)}`
      : budget.curve.length ? "none between its smallest and largest size" : "",
  ]);
}
