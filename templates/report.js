// A cross-hair that all charts on one axis share, with the values under it in their legends.
(function () {
  "use strict";
  const group = (text) => text.replace(/^(-?\d{5,})/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, "\u202f"));
  const number = (value) => {
    const size = Math.abs(value);
    if (size === 0) return "0";
    const decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : size >= 0.09995 ? 3 : 4;
    const [whole, fraction] = value.toFixed(decimals).split(".");
    return group(whole) + (fraction ? "." + fraction : "");
  };
  const scaled = (value, steps) => {
    for (const [unit, factor] of steps) if (Math.abs(value) >= factor * 0.9995) return number(value / factor) + " " + unit;
    const [unit, factor] = steps[steps.length - 1];
    return number(value / factor) + " " + unit;
  };
  const time = (value) => scaled(value, [["s", 1], ["ms", 1e-3], ["µs", 1e-6]]);
  const shown = {
    time,
    ratio: (value) => number(value * 100) + " %",
    bytes: (value) => scaled(value, [["TiB", 2 ** 40], ["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 1024], ["B", 1]]),
    rate: (value) => number(value) + "/s",
    temperature: (value) => number(value) + " °C",
    power: (value) => number(value) + " W",
    clock: (value) => number(value) + " MHz",
    count: number,
  };
  const moment = (seconds) => {
    if (seconds < 120) return seconds.toFixed(1) + " s";
    const whole = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return hours ? hours + ":" + two(minutes) + ":" + two(whole % 60) + " h" : minutes + ":" + two(whole % 60) + " min";
  };
  // The place under a share of the width, and that share for a place: time is linear, percentiles are not.
  const axes = {
    time: { at: (part, extent) => part * extent, part: (x, extent) => x / extent, words: moment },
    share: {
      at: (part, extent) => 1 - Math.pow(1 - extent, part),
      part: (x, extent) => Math.log(1 - x) / Math.log(1 - extent),
      words: (x) => "p" + Number((x * 100).toPrecision(x > 0.99 ? 5 : 3)),
    },
  };
  const charts = [];
  for (const figure of document.querySelectorAll("figure[data-along]")) {
    // A heat map has no values to read out, but it shares the moment.
    const values = figure.querySelector("script");
    const data = values ? JSON.parse(values.textContent) : { x: [0], y: [] };
    const plot = figure.querySelector(".plot");
    const line = plot.appendChild(document.createElement("div"));
    line.className = "cross";
    line.hidden = true;
    charts.push({
      plot, line, data,
      along: figure.dataset.along, extent: Number(figure.dataset.extent), show: shown[figure.dataset.unit],
      outputs: [...figure.querySelectorAll(".legend output")],
      // Values farther away than twice the usual distance belong to another time.
      reach: 2 * Number(figure.dataset.extent) / Math.max(1, data.x.length),
    });
  }
  const nearest = (list, x) => {
    let low = 0, high = list.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (list[middle] < x) low = middle; else high = middle;
    }
    return Math.abs(list[low] - x) <= Math.abs(list[high] - x) ? low : high;
  };
  const point = (from, x) => {
    const axis = axes[from.along];
    for (const chart of charts) {
      if (chart.along !== from.along) continue;
      chart.line.hidden = false;
      chart.line.style.left = 100 * axis.part(x, chart.extent) + "%";
      chart.line.textContent = chart === from ? axis.words(x) : "";
      chart.line.classList.toggle("left", axis.part(x, chart.extent) > 0.85);
      const index = nearest(chart.data.x, x);
      const near = chart.along === "share" || Math.abs(chart.data.x[index] - x) <= Math.max(chart.reach, 1);
      chart.outputs.forEach((output, series) => {
        const value = near ? chart.data.y[series][index] : null;
        output.textContent = value === null ? "–" : chart.show(value);
      });
    }
  };
  const leave = (along) => {
    for (const chart of charts) {
      if (chart.along !== along) continue;
      chart.line.hidden = true;
      for (const output of chart.outputs) output.textContent = "";
    }
  };
  for (const chart of charts) {
    chart.plot.addEventListener("pointermove", (event) => {
      const box = chart.plot.getBoundingClientRect();
      const part = (event.clientX - box.left) / box.width;
      if (part >= 0 && part <= 1) point(chart, axes[chart.along].at(part, chart.extent));
    });
    chart.plot.addEventListener("pointerleave", () => leave(chart.along));
  }
})();
