// A cross-hair that all charts on one axis share, with the values under it in their legends, and a zoom
// that all charts over time share.
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
    traffic: (value) => shown.bytes(value) + "/s",
    energy: (value) => number(value) + " J",
    growth: (value) => shown.bytes(value * 3600) + "/h",
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
    date: {
      at: (part, extent) => part * extent,
      part: (x, extent) => x / extent,
      words: (x, origin) => new Date((origin + x) * 1000).toISOString().slice(0, 16).replace("T", " "),
    },
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
    const overlay = (name) => {
      const element = plot.appendChild(document.createElement("div"));
      element.className = name;
      element.hidden = true;
      return element;
    };
    // Whoever has no mouse reaches the chart with the tabulator key.
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", figure.querySelector("h3, h4").textContent + ", with arrow keys for its values");
    const extent = Number(figure.dataset.extent);
    charts.push({
      plot, data, extent,
      line: overlay("cross"), chosen: overlay("chosen"),
      along: figure.dataset.along, origin: Number(figure.dataset.origin), show: shown[figure.dataset.unit],
      outputs: [...figure.querySelectorAll(".legend output")],
      // Values farther away than twice the usual distance belong to another time.
      reach: 2 * extent / Math.max(1, data.x.length),
      picture: plot.querySelector("svg svg"),
      ticks: plot.querySelector(".ticks"),
      whole: plot.querySelector(".ticks").innerHTML,
      // Where things stand when nothing is enlarged, as shares of the width.
      placed: [...plot.querySelectorAll(".placed > *")].map((element) => ({
        element,
        at: ["x", "x1", "x2", "width"].filter((name) => element.hasAttribute(name))
          .map((name) => [name, parseFloat(element.getAttribute(name)) / 100]),
      })),
    });
  }

  // The part of the time axis that is shown.
  const view = { from: 0, to: 1 };
  const inside = (chart, part) => chart.along === "time" ? view.from + part * (view.to - view.from) : part;
  const outside = (chart, part) => chart.along === "time" ? (part - view.from) / (view.to - view.from) : part;

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
    from.x = x;
    for (const chart of charts) {
      if (chart.along !== from.along) continue;
      const part = outside(chart, axis.part(x, chart.extent));
      chart.line.hidden = part < 0 || part > 1;
      chart.line.style.left = 100 * part + "%";
      chart.line.textContent = chart === from ? axis.words(x, chart.origin) : "";
      chart.line.classList.toggle("left", part > 0.85);
      const index = nearest(chart.data.x, x);
      const near = chart.along !== "time" || Math.abs(chart.data.x[index] - x) <= Math.max(chart.reach, 1);
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

  const SVG = "http://www.w3.org/2000/svg";
  // Steps that people count in, in seconds; below them, tenths.
  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
  const label = (chart) => {
    const low = view.from * chart.extent, high = view.to * chart.extent;
    const step = STEPS.find((step) => (high - low) / step <= 8) || STEPS[STEPS.length - 1];
    const height = Number(chart.picture.getAttribute("height"));
    chart.ticks.replaceChildren();
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
      const place = 100 * (at - low) / (high - low) + "%";
      const tick = chart.ticks.appendChild(document.createElementNS(SVG, "line"));
      const text = chart.ticks.appendChild(document.createElementNS(SVG, "text"));
      for (const [name, value] of [["class", "axis"], ["x1", place], ["x2", place], ["y1", height], ["y2", height + 4]]) tick.setAttribute(name, value);
      for (const [name, value] of [["class", "column"], ["x", place], ["y", height + 16], ["text-anchor", "middle"]]) text.setAttribute(name, value);
      text.textContent = step < 1 || high < 120 ? Number(at.toFixed(1)) + " s" : moment(at);
    }
  };
  const bar = document.getElementById("zoom");
  const enlarge = (from, to) => {
    // Less than two seconds would show nothing but two points.
    const extent = charts.length ? charts[0].extent : 1;
    const width = Math.min(1, Math.max(to - from, 2 / extent, 1e-4));
    view.from = Math.min(Math.max(0, from), 1 - width);
    view.to = view.from + width;
    const all = width === 1;
    for (const chart of charts) {
      if (chart.along !== "time") continue;
      const height = chart.picture.getAttribute("height");
      chart.picture.setAttribute("viewBox", 1000 * view.from + " 0 " + 1000 * width + " " + height);
      for (const { element, at } of chart.placed) {
        const places = Object.fromEntries(at);
        let low = "x1" in places ? places.x1 : places.x, high = "x2" in places ? places.x2 : low + (places.width || 0);
        low = (low - view.from) / width;
        high = (high - view.from) / width;
        if (element.matches("text.limit")) {
          // The words stand at the end of their line, as far as that is seen.
          element.style.display = element.previousElementSibling.style.display;
          low = Math.min(1, low);
        } else {
          element.style.display = high < 0 || low > 1 ? "none" : "";
        }
        low = Math.max(0, low);
        high = Math.min(1, high);
        for (const [name] of at) element.setAttribute(name, 100 * (name === "x2" ? high : name === "width" ? Math.max(0, high - low) : low) + "%");
      }
      if (all) chart.ticks.innerHTML = chart.whole; else label(chart);
      if (!all) bar.querySelector("output").textContent = moment(view.from * chart.extent) + " to " + moment(view.to * chart.extent);
    }
    bar.hidden = all;
    leave("time");
  };
  const zoom = (factor, centre) => {
    const width = (view.to - view.from) * factor;
    enlarge(centre - width * (centre - view.from) / (view.to - view.from), centre + width * (view.to - centre) / (view.to - view.from));
  };
  const all = () => enlarge(0, 1);

  for (const chart of charts) {
    const { plot, chosen } = chart;
    const timed = chart.along === "time";
    const share = (event) => {
      const box = plot.getBoundingClientRect();
      return (event.clientX - box.left) / box.width;
    };
    let begun = null;
    plot.addEventListener("pointerdown", (event) => {
      if (!timed || event.button !== 0) return;
      begun = share(event);
      plot.setPointerCapture(event.pointerId);
    });
    plot.addEventListener("pointermove", (event) => {
      const part = share(event);
      if (part >= 0 && part <= 1) point(chart, axes[chart.along].at(inside(chart, part), chart.extent));
      if (begun === null) return;
      const [low, high] = [begun, Math.min(1, Math.max(0, part))].sort((a, b) => a - b);
      chosen.hidden = high - low < 0.01;
      chosen.style.left = 100 * low + "%";
      chosen.style.width = 100 * (high - low) + "%";
    });
    plot.addEventListener("pointerup", (event) => {
      if (begun === null) return;
      const [low, high] = [begun, Math.min(1, Math.max(0, share(event)))].sort((a, b) => a - b);
      begun = null;
      chosen.hidden = true;
      if (high - low >= 0.01) enlarge(inside(chart, low), inside(chart, high));
    });
    plot.addEventListener("pointercancel", () => { begun = null; chosen.hidden = true; });
    plot.addEventListener("pointerleave", () => leave(chart.along));
    plot.addEventListener("blur", () => leave(chart.along));
    plot.addEventListener("dblclick", () => { if (timed) all(); });
    plot.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const axis = axes[chart.along];
      const here = chart.x === undefined ? 0.5 : outside(chart, axis.part(chart.x, chart.extent));
      const move = (part) => point(chart, axis.at(inside(chart, Math.min(1, Math.max(0, part))), chart.extent));
      const keys = {
        ArrowLeft: () => move(here - 0.01), ArrowRight: () => move(here + 0.01), Home: () => move(0), End: () => move(1),
        "+": () => timed && zoom(0.5, inside(chart, here)), "-": () => timed && zoom(2, inside(chart, here)),
        Escape: () => timed && all(),
      };
      if (!(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    });
  }
  const pan = (step) => () => {
    const width = view.to - view.from;
    enlarge(Math.min(1 - width, view.from + step * width), Math.min(1 - width, view.from + step * width) + width);
  };
  // Pages without an axis of time have nothing to enlarge.
  if (!bar) return;
  const actions = { earlier: pan(-0.5), later: pan(0.5), all };
  for (const button of bar.querySelectorAll("button")) button.addEventListener("click", actions[button.value]);
  // On paper there is nothing to press: the whole run is printed.
  window.addEventListener("beforeprint", all);
  for (const hint of document.querySelectorAll(".hands")) hint.hidden = false;
})();
