// Charges by day, one bar for each, its parts upon each other. Amounts are integers of nanos.
"use strict";
(() => {
  const NANOS = 1e9;
  let plot = null;
  let data = null;
  const box = () => document.getElementById("stacked");
  const inkOf = (element, pseudo) => getComputedStyle(element, pseudo).color;

  const axisText = (nanos) => data.symbol + (nanos ? (nanos / NANOS).toLocaleString("en", { maximumSignificantDigits: 3, maximumFractionDigits: 9 }) : "0");
  const dayText = (seconds) => new Date(seconds * 1000).toISOString().slice(5, 10);
  const read = (index) => { document.getElementById("stacked-read").textContent = data.captions[index] || mintage.say("chart.hint"); };

  function options(element) {
    const faint = inkOf(element.querySelector(".axis-ink"));
    const line = inkOf(element.querySelector(".axis-line"));
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const bars = uPlot.paths.bars({ size: [0.7, 36], align: 0 });
    const keys = [...document.querySelectorAll("#stacked-figure .key")];
    const each = Math.max(1, Math.ceil(data.times.length / Math.max(2, Math.floor(element.clientWidth / 84))));
    return {
      width: element.clientWidth,
      height: element.clientHeight,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: () => [data.times[0] - 43200, data.times.at(-1) + 43200] },
        y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : NANOS / 100] },
      },
      axes: [
        { stroke: faint, font, grid: { show: false }, ticks: { stroke: line, size: 4 }, size: 28,
          values: (_, splits) => splits.map(dayText), splits: () => data.times.filter((_, index) => (data.times.length - 1 - index) % each === 0) },
        { stroke: faint, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, space: 40, values: (_, splits) => splits.map(axisText),
          size: (_, values) => Math.max(44, ...(values || []).map((text) => 10 + text.length * 6.4)) },
      ],
      // The highest sum is drawn first; what lies below it covers its lower part.
      series: [{}, ...keys.map((key) => ({ fill: inkOf(key, "::before"), stroke: inkOf(key, "::before"), width: 0, paths: bars, points: { show: false } })).reverse()],
      hooks: { setCursor: [(self) => read(self.cursor.idx)] },
    };
  }

  function sums() {
    const upon = [];
    data.lines.forEach((line, index) => upon.push(line.nanos.map((nanos, day) => nanos + (index ? upon[index - 1][day] : 0))));
    return upon.reverse();
  }

  function draw() {
    const element = box();
    if (!element) return;
    data = JSON.parse(document.getElementById("stacked-data").textContent);
    if (plot) plot.destroy();
    plot = new uPlot(options(element), [data.times, ...sums()], element);
  }

  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!plot || !step || event.target !== box()) return;
    event.preventDefault();
    const last = data.times.length - 1;
    const index = Math.min(last, Math.max(0, (plot.cursor.idx ?? (step > 0 ? -1 : last + 1)) + step));
    plot.setCursor({ left: plot.valToPos(data.times[index], "x"), top: 0 });
    read(index);
  });
  document.addEventListener("mintage:theme", draw);
  document.addEventListener("DOMContentLoaded", () => {
    if (!box()) return;
    draw();
    new ResizeObserver(() => { if (plot) plot.setSize({ width: box().clientWidth, height: box().clientHeight }); }).observe(box());
  });
})();
