// Draws the server's charts again with uPlot, so that a finger or a pointer can read them.
// All figures and words come from the tables; without this script the page is complete.
"use strict";
(function () {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const INK = colour("--soft"), LINE = colour("--line"), BAR = colour("--bar");
  const GAP = colour("--gap"), CHOSEN = colour("--chosen"), AREA = "#d9e9f7";
  const FONT = "13px 'Noto Sans Devanagari', system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

  function rowsOf(figure) {
    const rows = [...document.querySelectorAll("#" + figure.dataset.table + " tbody tr")];
    return figure.dataset.kind === "bars" ? rows.reverse() : rows;
  }

  // "Thu, 17 Sept: 7.33 units" in the table's own words
  function sentence(row, unit) {
    const why = row.querySelector(".why");
    const cell = row.querySelector(".load") || row.querySelector("td");
    return row.querySelector("th").textContent + ": " + (why ? why.textContent : cell.textContent + " " + unit);
  }

  function shadeGaps(rows) {
    return (plot) => {
      plot.ctx.fillStyle = GAP;
      rows.forEach((row, place) => {
        if (!row.classList.contains("missing")) return;
        const left = plot.valToPos(place, "x", true), right = plot.valToPos(place + 1, "x", true);
        plot.ctx.fillRect(left, plot.bbox.top, right - left, plot.bbox.height);
      });
    };
  }

  function draw(figure) {
    const rows = rowsOf(figure);
    if (!rows.length) return;
    const bars = figure.dataset.kind === "bars";
    const box = figure.querySelector(".plot"), readout = figure.querySelector(".readout");
    const places = [], values = [];
    rows.forEach((row, place) => {
      const value = "value" in row.dataset ? Number(row.dataset.value) : null;
      // a mean over a block is a step from its start to its end
      (bars || value === null ? [0.5] : [0, 1]).forEach((part) => { places.push(place + part); values.push(value); });
    });
    const short = (place) => (place < rows.length ? rows[place].dataset.short : bars ? "" : "24:00");
    const step = bars ? 7 : rows.length / 4;
    const marks = [];
    for (let place = 0; place <= rows.length - (bars ? 1 : 0); place += step) marks.push(place);
    const axis = { stroke: INK, font: FONT, ticks: { show: false } };
    const options = {
      padding: [8, bars ? 4 : 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: !bars } },
      scales: { x: { time: false, range: [0, rows.length] }, y: { range: (_, low, high) => [0, (high || 1) * 1.08] } },
      axes: [
        { ...axis, grid: { show: false }, size: 28, gap: 6, splits: () => marks, values: () => marks.map(short), align: bars ? 1 : undefined },
        { ...axis, grid: { stroke: LINE, width: 1 }, size: 40, gap: 6, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString(document.documentElement.lang + "-IN")) },
      ],
      series: [{}, bars
        ? { fill: BAR, stroke: BAR, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8], align: 0,
            disp: { fill: { unit: 3, values: () => rows.map((row) => (row.classList.contains("shown") ? CHOSEN : BAR)) } } }) }
        : { stroke: BAR, width: 2.25, fill: AREA, points: { show: false } }],
      hooks: {
        drawClear: [shadeGaps(rows)],
        setCursor: [(plot) => {
          const left = plot.cursor.left;
          if (left === null || left < 0) { readout.textContent = ""; return; }
          const place = Math.min(rows.length - 1, Math.max(0, Math.floor(plot.posToVal(left, "x"))));
          readout.textContent = rows[place].hidden ? "" : sentence(rows[place], figure.dataset.unit);
        }],
      },
    };
    figure.classList.add("enhanced");
    options.width = box.clientWidth;
    options.height = box.clientHeight;
    const label = box.querySelector("svg").getAttribute("aria-label");
    box.replaceChildren();
    const plot = new uPlot(options, [places, values], box);
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", label);
    if (bars) {
      plot.over.classList.add("clickable");
      plot.over.addEventListener("click", () => {
        const place = Math.floor(plot.posToVal(plot.cursor.left, "x"));
        const link = rows[place] && rows[place].querySelector("a");
        if (link) link.click();
      });
    }
    new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: box.clientHeight })).observe(box);
  }

  document.fonts.ready.then(() => document.querySelectorAll(".chart").forEach(draw));
})();
