// Revenue as bars, cost drawn over them: what stays visible of a bar is margin. Amounts are integers of nanos.
"use strict";
(() => {
  const NANOS = 1e9;
  let plot = null;
  let series = null;

  const box = () => document.getElementById("chart");
  const inkOf = (selector, pseudo) => getComputedStyle(document.querySelector(selector), pseudo).color;

  function axisText(nanos) {
    const units = nanos / NANOS;
    const text = units === 0 ? "0" : units.toLocaleString("en", { maximumSignificantDigits: 3, maximumFractionDigits: 9 });
    return series.symbol + text;
  }

  function timeText(seconds) {
    const iso = new Date(seconds * 1000).toISOString();
    if (series.step === "minute" || series.step === "hour") return iso.slice(11, 16);
    return series.step === "day" ? iso.slice(5, 10) : iso.slice(0, 7);
  }

  function read(index) {
    const point = index == null ? null : series.captions[index];
    document.getElementById("chart-read").textContent = point || mintage.say("chart.hint");
  }

  function options(element) {
    const faint = inkOf(".axis-ink");
    const line = inkOf(".axis-line");
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const bars = uPlot.paths.bars({ size: [0.62, 28], align: 0 });
    const bar = (selector) => {
      const ink = inkOf(selector, "::before");
      return { fill: ink, stroke: ink, width: 0, paths: bars, points: { show: false } };
    };
    const half = series.times.length > 1 ? (series.times[1] - series.times[0]) / 2 : 30;
    return {
      width: element.clientWidth,
      height: element.clientHeight,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: () => [series.times[0] - half, series.times.at(-1) + half] },
        y: { range: (_, low, high) => [Math.min(0, low || 0), high > 0 ? high * 1.08 : NANOS / 100] },
      },
      axes: [
        { stroke: faint, font, grid: { show: false }, ticks: { stroke: line, size: 4 }, size: 28, space: 64,
          values: (_, splits) => splits.map((at) => timeText(series.times[nearest(at)])),
          splits: (_, __, low, high, ___, space) => chooseTimes(element.clientWidth) },
        { stroke: faint, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, space: 40,
          values: (_, splits) => splits.map(axisText),
          size: (self, values) => Math.max(44, ...(values || []).map((text) => 10 + text.length * 6.4)) },
      ],
      series: [{}, bar(".key-revenue"), bar(".key-cost")],
      hooks: { setCursor: [(self) => read(self.cursor.idx)] },
    };
  }

  function nearest(at) {
    let best = 0;
    series.times.forEach((time, index) => { if (Math.abs(time - at) < Math.abs(series.times[best] - at)) best = index; });
    return best;
  }

  // Labels at whole steps from the newest back, as many as fit.
  function chooseTimes(width) {
    const each = Math.max(1, Math.ceil(series.times.length / Math.max(2, Math.floor(width / 84))));
    return series.times.filter((_, index) => (series.times.length - 1 - index) % each === 0);
  }

  function draw() {
    const element = box();
    if (!element) return;
    series = JSON.parse(document.getElementById("series").textContent);
    if (plot) plot.destroy();
    plot = new uPlot(options(element), [series.times, series.revenue, series.cost], element);
  }

  // New figures for the same period: keep the plot, so that the cursor stays where it is.
  function update(next) {
    if (!plot || next.times[0] !== series.times[0] || next.step !== series.step) {
      document.getElementById("series").textContent = JSON.stringify(next);
      draw();
    } else {
      series = next;
      plot.setData([series.times, series.revenue, series.cost]);
    }
    box().querySelector(".plot-empty").hidden = next.peak !== "";
    box().setAttribute("aria-label", next.summary);
  }

  function walk(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!plot || !step || event.target !== box()) return;
    event.preventDefault();
    const last = series.times.length - 1;
    const from = plot.cursor.idx ?? (step > 0 ? -1 : last + 1);
    const index = Math.min(last, Math.max(0, from + step));
    plot.setCursor({ left: plot.valToPos(series.times[index], "x"), top: 0 });
  }

  let resizing = 0;
  const resized = new ResizeObserver(() => {
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(() => {
      const element = box();
      if (plot && element) plot.setSize({ width: element.clientWidth, height: element.clientHeight });
    });
  });

  function start() {
    if (!box()) return;
    draw();
    resized.disconnect();
    resized.observe(box());
  }

  document.addEventListener("keydown", walk);
  document.addEventListener("mintage:theme", draw);
  document.addEventListener("DOMContentLoaded", start);
  Object.assign(mintage, { startChart: start, updateChart: update });
})();
