/* The map to explore: choose a map, look at a cell. */
(() => {
  const source = document.getElementById("map-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const element = document.getElementById("map");
  const readout = document.getElementById("map-readout");
  const form = document.getElementById("map-choices");
  const { shape, ticksBetween } = charts;
  const [xs, ys] = [data.x.values, data.y.values];
  const SIZE = { width: 620, height: 600, left: 58, top: 12, right: 12, bottom: 52 };
  const inner = { width: SIZE.width - SIZE.left - SIZE.right, height: SIZE.height - SIZE.top - SIZE.bottom };

  /* A column of the pool as numbers; "-" is a number that is not there. */
  const parsed = new Map();
  const column = (index) => {
    if (!parsed.has(index)) parsed.set(index, data.pool[index].split(" ").map((text) => (text === "-" ? null : text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text))));
    return parsed.get(index);
  };

  let map = data.maps[0];
  let cell = { x: Math.floor(xs.length / 4), y: Math.floor(ys.length / 4) };
  const shown = data.boundaries.map(() => true);

  /* Edges of cells: half way to the neighbours. */
  const edges = (values) => {
    const step = values.length > 1 ? values[1] - values[0] : 1;
    return [values[0] - step / 2, values[values.length - 1] + step / 2];
  };
  const [[x0, x1], [y0, y1]] = [edges(xs), edges(ys)];
  const px = (x) => SIZE.left + (inner.width * (x - x0)) / (x1 - x0);
  const py = (y) => SIZE.top + inner.height * (1 - (y - y0) / (y1 - y0));
  const box = (i, j) => {
    const [w, h] = [inner.width / xs.length, inner.height / ys.length];
    return { x: SIZE.left + i * w, y: SIZE.top + inner.height - (j + 1) * h, width: w, height: h };
  };

  const svg = shape("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, "aria-hidden": "true" });
  const layers = { cells: shape("g", { "shape-rendering": "crispEdges" }), curves: shape("g", { "clip-path": "url(#map-clip)" }), axes: shape("g", {}), here: shape("rect", { class: "here" }) };
  const clip = shape("clipPath", { id: "map-clip" });
  const whole = { x: SIZE.left, y: SIZE.top, width: inner.width, height: inner.height };
  clip.append(shape("rect", whole));
  svg.append(clip, layers.cells, layers.curves, shape("rect", { class: "outline", ...whole }), layers.axes, layers.here);

  const drawAxes = () => {
    const ticks = (values) => [values[0], ...ticksBetween(values[0], values[values.length - 1], false).filter((tick) => tick > values[0] + 2 && Number.isInteger(tick))];
    const bottom = SIZE.top + inner.height;
    for (const tick of ticks(xs)) layers.axes.append(shape("text", { x: px(tick), y: bottom + 18, "text-anchor": "middle" }, tick));
    for (const tick of ticks(ys)) layers.axes.append(shape("text", { x: SIZE.left - 8, y: py(tick) + 4.5, "text-anchor": "end" }, tick));
    layers.axes.append(shape("text", { class: "label", x: SIZE.left + inner.width / 2, y: bottom + 42, "text-anchor": "middle" }, data.x.label));
    const middle = SIZE.top + inner.height / 2;
    layers.axes.append(shape("text", { class: "label", x: 16, y: middle, "text-anchor": "middle", transform: `rotate(-90 16 ${middle})` }, data.y.label));
  };

  const drawMap = () => {
    const diverged = column(map.columns[0]);
    layers.cells.replaceChildren();
    for (let i = 0; i < xs.length; i += 1) {
      /* Equal neighbours above one another are one rectangle. */
      for (let j = 0; j < ys.length;) {
        const count = diverged[i * ys.length + j];
        let end = j + 1;
        while (end < ys.length && diverged[i * ys.length + end] === count) end += 1;
        const [low, high] = [box(i, j), box(i, end - 1)];
        layers.cells.append(shape("rect", { x: low.x, y: high.y, width: low.width + 0.5, height: low.y + low.height - high.y, style: `fill:var(--d-${Math.round((10 * count) / data.num_runs)})` }));
        j = end;
      }
    }
    drawCurves();
    element.dataset.map = map.name;
    look(cell.x, cell.y);
  };

  const drawCurves = () => {
    layers.curves.replaceChildren();
    data.boundaries.forEach((boundary, index) => {
      if (!shown[index]) return;
      for (const line of map.lines[index]) {
        const points = line.split(" ").map((point) => { const [x, y] = point.split(",").map(Number); return `${px(x).toFixed(1)},${py(y).toFixed(1)}`; }).join(" ");
        const width = boundary.width * 1.7;
        layers.curves.append(shape("polyline", { points, class: "halo", "stroke-width": width + 2.5 }));
        layers.curves.append(shape("polyline", { points, class: "curve", "data-boundary": boundary.name, style: `stroke:${boundary.colour}`, "stroke-width": width, "stroke-dasharray": boundary.dashes.split(" ").filter(Boolean).map((dash) => dash * 1.7).join(" ") }));
      }
    });
  };

  const number = (value) => (value === null ? "none" : value === Infinity ? "∞" : value === -Infinity ? "−∞" : String(value).replace("e+", "e"));
  const says = (diverges) => (diverges ? "diverges" : "stable");

  /* Shows the numbers of a cell. */
  const look = (i, j) => {
    cell = { x: Math.min(Math.max(i, 0), xs.length - 1), y: Math.min(Math.max(j, 0), ys.length - 1) };
    const at = cell.x * ys.length + cell.y;
    const value = (index) => column(map.columns[index])[at];
    const flags = parseInt(map.flags[at], 32);
    const diverged = Boolean(flags & 1);
    const predicted = data.boundaries.map((_, index) => Boolean(flags & (2 << index)));
    for (const [name, coordinate] of Object.entries(box(cell.x, cell.y))) layers.here.setAttribute(name, coordinate);
    Object.assign(element.dataset, { x: xs[cell.x], y: ys[cell.y], diverged: String(diverged), runs: value(0), verdicts: predicted.map(says).join(" ") });

    const rows = data.boundaries.map((boundary, index) => {
      const right = predicted[index] === diverged;
      return make("tr", {}, toggles[index], make("td", { title: boundary.rule }, `${boundary.symbol} = `, make("b", {}, number(value(boundary.column)))), make("td", {}, says(predicted[index])), make("td", { class: right ? "right-yes" : "right-no", "aria-label": right ? "as simulated" : "not as simulated" }, right ? "✓" : "✗"), make("td", { title: "cells of this map predicted as simulated" }, `${((100 * map.right[index]) / (xs.length * ys.length)).toFixed(1)} %`));
    });
    readout.replaceChildren(
      make("h4", {}, `${data.x.symbol} = ${xs[cell.x]}, ${data.y.symbol} = ${ys[cell.y]}`, make("small", {}, map.title)),
      make("p", { class: "outcome" }, make("strong", {}, `${value(0)} of ${data.num_runs} runs diverged`), `, ${value(1)} converged: ${says(diverged)}.`, value(2) === null ? "" : ` Mean step of divergence ${number(value(2))}.`),
      make("table", { class: "boundaries" }, make("thead", {}, make("tr", {}, ...["prediction", "threshold", "says", "", "whole map"].map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...rows)),
      make("p", { class: "caption" }, `Mean square grows by ${number(value(6))} a step; gradient descent is stable up to η = ${number(value(8))}. Of the ${xs.length * ys.length} cells of this map ${map.num_stable} are stable.`),
    );
  };

  const toggles = data.boundaries.map((boundary, index) => {
    const input = make("input", { type: "checkbox", checked: "", "data-boundary": boundary.name });
    const swatch = make("span", { class: "swatch", style: `border-color:${boundary.colour};border-top-style:${boundary.dashes ? "dashed" : "solid"}` });
    input.addEventListener("change", () => { shown[index] = input.checked; drawCurves(); });
    return make("th", { scope: "row" }, make("label", { title: "Show or hide this boundary" }, input, swatch, boundary.name));
  });

  /* One group of buttons a choice; a map that does not exist cannot be chosen. */
  const groups = data.choices.map((name, index) => {
    const values = [...new Set(data.maps.map((one) => one.choice[index]))];
    const inputs = values.map((value) => {
      const input = make("input", { type: "radio", name: `map-${index}`, value });
      input.addEventListener("change", () => choose(index, value));
      return input;
    });
    const segments = make("div", { class: "segments" }, ...inputs.map((input) => make("label", {}, input, input.value)));
    if (values.length > 1) form.append(make("fieldset", { "data-choice": name }, make("legend", {}, name), segments));
    return inputs;
  });
  const choose = (index, value) => {
    const wanted = map.choice.map((other, place) => (place === index ? value : other));
    const distance = (one) => one.choice.reduce((sum, other, place) => sum + (other !== wanted[place] ? (place === index ? 100 : place === 0 ? 10 : 1) : 0), 0);
    map = data.maps.reduce((best, one) => (distance(one) < distance(best) ? one : best));
    settle();
  };
  const settle = () => {
    groups.forEach((inputs, index) => inputs.forEach((input) => {
      input.checked = input.value === map.choice[index];
      input.disabled = index > 0 && !data.maps.some((one) => one.choice[0] === map.choice[0] && one.choice[index] === input.value);
    }));
    drawMap();
  };

  const pointed = (event) => {
    const bounds = svg.getBoundingClientRect();
    const scale = SIZE.width / bounds.width;
    const [x, y] = [(event.clientX - bounds.left) * scale - SIZE.left, (event.clientY - bounds.top) * scale - SIZE.top];
    if (x < 0 || y < 0 || x >= inner.width || y >= inner.height) return;
    look(Math.floor((x / inner.width) * xs.length), Math.floor((1 - y / inner.height) * ys.length));
  };
  svg.addEventListener("pointermove", pointed);
  svg.addEventListener("pointerdown", pointed);
  element.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 5 : 1;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (!move) return;
    event.preventDefault();
    look(cell.x + move[0], cell.y + move[1]);
  });

  element.replaceChildren(svg);
  drawAxes();
  settle();
})();

