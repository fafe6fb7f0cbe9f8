// Charts that console/plot.py describes: bars (side by side or upon each other) and lines over labelled points.
"use strict";
(() => {
  const NANOS = 1e9;
  const drawn = new Map();
  const inkOf = (element, pseudo) => getComputedStyle(element, pseudo).color;
  const short = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3, maximumFractionDigits: 9 });

  function axisText(data, value) {
    if (data.unit === "ratio") return `${short(value * 100)}%`;
    if (data.unit === "number") return short(value);
    const sign = value < 0 ? "\u2212" : "";
    return sign + data.symbol + (value ? short(Math.abs(value) / NANOS) : "0");
  }

  // Bars that stand upon each other are drawn from the highest sum down; what lies below covers its lower part.
  function columns(data) {
    if (!data.stacked) return data.series.map((one) => one.values);
    const sums = [];
    data.series.forEach((one, index) => sums.push(one.values.map((value, at) => value + (index ? sums[index - 1][at] : 0))));
    return sums.reverse();
  }

  function lines(data, figure) {
    const keys = [...figure.querySelectorAll(".key")].map((key) => inkOf(key, "::before"));
    const order = data.series.map((_, index) => index);
    if (data.stacked) order.reverse();
    return order.map((index) => {
      const one = data.series[index], ink = keys[index];
      if (one.kind === "line") return { stroke: ink, width: 2, points: { show: data.labels.length < 2, size: 6, fill: ink }, spanGaps: false };
      const bars = uPlot.paths.bars({ size: [0.62, 44], align: 0 });
      return { fill: ink, stroke: ink, width: 0, points: { show: false }, paths: bars };
    });
  }

  function options(data, figure, box) {
    const faint = inkOf(box.querySelector(".axis-ink"));
    const line = inkOf(box.querySelector(".axis-line"));
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const read = figure.querySelector(".read span");
    const widest = Math.max(...data.labels.map((label) => label.length), 4) * 7 + 20;
    const each = Math.max(1, Math.ceil(data.labels.length / Math.max(1, Math.floor(box.clientWidth / widest))));
    const count = data.labels.length;
    return {
      width: box.clientWidth,
      height: box.clientHeight,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: () => [-0.5, count - 0.5] },
        y: { range: (_, low, high) => [Math.min(0, (low ?? 0) * 1.08), Math.max((high ?? 0) * 1.08, low < 0 ? 0 : data.unit === "money" ? NANOS / 100 : 0.01)] },
      },
      axes: [
        { stroke: faint, font, grid: { show: false }, ticks: { stroke: line, size: 4 }, size: 28,
          splits: () => data.labels.map((_, index) => index).filter((index) => (count - 1 - index) % each === 0),
          values: (_, splits) => splits.map((index) => data.labels[index]) },
        { stroke: faint, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, space: 40,
          values: (_, splits) => splits.map((value) => axisText(data, value)),
          size: (_, values) => Math.max(44, ...(values || []).map((text) => 10 + text.length * 6.4)) },
      ],
      series: [{}, ...lines(data, figure)],
      hooks: { setCursor: [(self) => { read.textContent = data.captions[self.cursor.idx] || mintage.say("chart.hint"); }] },
    };
  }

  function draw(figure) {
    const box = figure.querySelector(".plot");
    const data = JSON.parse(figure.querySelector("script").textContent);
    drawn.get(figure)?.destroy();
    if (!data.labels.length) return;
    drawn.set(figure, new uPlot(options(data, figure, box), [data.labels.map((_, index) => index), ...columns(data)], box));
  }

  const figures = () => document.querySelectorAll("figure[data-plot]");
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const figure = event.target.closest?.("figure[data-plot]");
    const plot = figure && drawn.get(figure);
    if (!plot || !step || !event.target.matches(".plot")) return;
    event.preventDefault();
    const last = plot.data[0].length - 1;
    const index = Math.min(last, Math.max(0, (plot.cursor.idx ?? (step > 0 ? -1 : last + 1)) + step));
    plot.setCursor({ left: plot.valToPos(index, "x"), top: 0 });
  });
  document.addEventListener("mintage:theme", () => figures().forEach(draw));
  document.addEventListener("DOMContentLoaded", () => {
    const watch = new ResizeObserver((entries) => {
      for (const { target } of entries) {
        const figure = target.closest("figure");
        if (target.clientWidth && drawn.get(figure)?.width !== target.clientWidth) draw(figure);
      }
    });
    for (const figure of figures()) {
      draw(figure);
      watch.observe(figure.querySelector(".plot"));
    }
  });
  mintage.drawPlot = draw;
})();
