"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const darkColours = Object.entries(JSON.parse(document.getElementById("dark-colours").textContent));
  const dark = matchMedia("screen and (prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 640px)");
  const config = { displayModeBar: false, responsive: true };

  const darkened = (figure) => {
    const swap = new Map(darkColours);
    const known = new RegExp(darkColours.map(([light]) => light.replace(/[()]/g, "\\$&")).join("|"), "g");
    return JSON.parse(JSON.stringify(figure).replace(known, (light) => swap.get(light)));
  };

  // On a telephone panels stand above each other, the legend above them, and every other tick goes.
  const stacked = (figure) => {
    const { data, layout } = structuredClone(figure);
    const panels = Object.keys(layout).filter((key) => /^xaxis\d*$/.test(key)).sort();
    const each = panels.length > 1 ? Math.min(layout.height, 270) : layout.height;
    const entries = data.filter((trace) => trace.name && trace.showlegend !== false).length;
    const named = layout.showlegend !== false && entries > 1;
    const above = named ? 20 * entries + (layout.legend?.title ? 30 : 10) : 0;
    layout.height = each * panels.length + above;
    layout.margin = { ...layout.margin, l: 56, r: 14, t: 16 + above };
    const inside = layout.height - layout.margin.t - (layout.margin.b ?? 58);
    const gap = panels.length > 1 ? 66 / inside : 0;
    const share = (1 - gap * (panels.length - 1)) / panels.length;
    panels.forEach((key, k) => {
      const x = layout[key], y = layout[key.replace("x", "y")];
      x.domain = [0, 1];
      y.domain = [Math.max(0, 1 - k * (share + gap) - share), 1 - k * (share + gap)];
      if (k && y.matches) Object.assign(y, { showticklabels: true, title: layout.yaxis.title });
      if (x.tickvals?.length > 4) {
        x.ticktext = x.ticktext.filter((_, i) => i % 2 === 0);
        x.tickvals = x.tickvals.filter((_, i) => i % 2 === 0);
      }
    });
    if (named) {
      const title = layout.legend?.title && { title: { ...layout.legend.title, side: "top" } };
      layout.legend = { ...layout.legend, ...title, orientation: "v", x: 0, xanchor: "left", y: 1 + 10 / inside, yanchor: "bottom" };
    }
    for (const trace of data) if (trace.colorbar) trace.showscale = false;
    return { data, layout };
  };

  const draw = (light) => {
    for (const [name, figure] of Object.entries(figures)) {
      const sized = narrow.matches ? stacked(figure) : figure;
      const { data, layout } = structuredClone(dark.matches && !light ? darkened(sized) : sized);
      const place = document.getElementById("plot-" + name);
      place.style.minHeight = layout.height + "px";
      Plotly.react(place, data, layout, config);
    }
  };
  draw();
  dark.addEventListener("change", () => draw());
  narrow.addEventListener("change", () => draw());

  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.v ?? cell.textContent.replace("−", "-");
    const number = Number(text);
    return text.trim() === "" || Number.isNaN(number) ? text : number;
  };
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const heading = event.target.closest("th");
      if (!heading) return;
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => order(value(a, heading.cellIndex), value(b, heading.cellIndex)) * (down ? -1 : 1));
      table.tBodies[0].append(...rows);
    });
  }
  const closed = [];
  addEventListener("beforeprint", () => {
    if (dark.matches) draw(true);
    for (const part of document.querySelectorAll("details:not([open])")) { part.open = true; closed.push(part); }
  });
  addEventListener("afterprint", () => {
    if (dark.matches) draw();
    for (const part of closed.splice(0)) part.open = false;
  });
})();
