/* Charts to look closer at: values on hover, zoom along the axes, series on and off.
   A drawing says where its panels are (data-box), what their axes run over (data-x, data-y) and what its series hold (data-xy).
   Panels of a figure that have an axis in common are zoomed along it together. */
const charts = (() => {
  /* The namespace of drawings, as the parser knows it. */
  const SVG = Object.assign(document.createElement("div"), { innerHTML: "<svg></svg>" }).firstChild.namespaceURI;
  const shape = (name, attributes, text) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };

  /* An axis: values at its ends, whether logarithmic; the part in view, as shares of its length. */
  const parseAxis = (text) => {
    const [low, high, kind] = text.split(" ");
    const log = kind === "log";
    const of = log ? Math.log : Number;
    const [a, b] = [of(Number(low)), of(Number(high))];
    const axis = { log, from: 0, to: 1, share: (value) => (of(value) - a) / (b - a), value: (share) => (log ? Math.exp : Number)(a + share * (b - a)) };
    /* Rows have names, which stay where they are: their axis cannot be zoomed, and their numbers say nothing. */
    if (kind === "rows") for (const [end, at] of [["from", 0], ["to", 1]]) Object.defineProperty(axis, end, { get: () => at, set: () => {} });
    axis.rows = kind === "rows";
    return axis;
  };

  const short = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential().replace(/(\.\d{0,3})\d*/, "$1").replace("e+", "e") : String(Number(value.toPrecision(6))));

  const ticksBetween = (low, high, log) => {
    const [a, b] = low < high ? [low, high] : [high, low];
    if (log && b / a > 3) {
      const ticks = [];
      const multiples = b / a > 300 ? [1] : [1, 2, 5];
      for (let e = Math.floor(Math.log10(a)); e <= Math.log10(b); e += 1) for (const m of multiples) ticks.push(Number(`${m}e${e}`));
      const inside = ticks.filter((tick) => tick >= a * 0.999 && tick <= b * 1.001);
      const every = Math.ceil(inside.length / 7);
      return inside.filter((_, index) => index % every === 0);
    }
    const rough = (b - a) / 5;
    const decade = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * decade).find((candidate) => candidate >= rough * 0.999);
    const ticks = [];
    for (let i = Math.ceil(a / step - 1e-9); i * step <= b + 1e-9 * step; i += 1) ticks.push(Number((i * step).toPrecision(10)));
    return ticks;
  };

  let numClips = 0;

  class Panel {
    constructor(group, axes) {
      this.group = group;
      this.data = group.querySelector(".data");
      [this.left, this.top, this.width, this.height] = group.dataset.box.split(" ").map(Number);
      [this.x, this.y] = ["x", "y"].map((name) => (axes[name][group.dataset[name]] ??= parseAxis(group.dataset[name])));
    }
    contains(x, y) { return x >= this.left && x <= this.left + this.width && y >= this.top && y <= this.top + this.height; }
    /* Where a point of shares stands in the view. */
    place(u, v) {
      return [this.left + (this.width * (u - this.x.from)) / (this.x.to - this.x.from), this.top + this.height * (1 - (v - this.y.from) / (this.y.to - this.y.from))];
    }
    at(x, y) { return this.place(this.x.share(x), this.y.share(y)); }
    /* The shares of a point of the view. */
    shares(px, py) {
      const u = this.x.from + ((px - this.left) / this.width) * (this.x.to - this.x.from);
      return [u, this.y.from + (1 - (py - this.top) / this.height) * (this.y.to - this.y.from)];
    }
    /* What is drawn, as it was at first. */
    remember() {
      if (this.shapes) return;
      const id = `clip-${(numClips += 1)}`;
      const clip = shape("clipPath", { id });
      clip.append(shape("rect", { x: this.left, y: this.top, width: this.width, height: this.height }));
      this.group.prepend(clip);
      this.data.setAttribute("clip-path", `url(#${id})`);
      const free = (selector) => [...this.data.querySelectorAll(selector)].filter((element) => !element.closest(".mark"));
      const number = (element, ...names) => names.map((name) => Number(element.getAttribute(name)));
      this.shapes = {
        lines: free("polyline, polygon").map((element) => [element, element.getAttribute("points").split(" ").map((point) => point.split(",").map(Number))]),
        circles: free("circle").map((element) => [element, number(element, "cx", "cy")]),
        rects: free("rect").map((element) => [element, number(element, "x", "y", "width", "height")]),
        marks: [...this.data.querySelectorAll(".mark")].map((element) => [element, element.dataset.at.split(" ").map(Number)]),
        ticks: ["x", "y"].map((name) => { const group = this.group.querySelector(`.ticks.${name}`); return [name, group, group.innerHTML]; }),
        grid: this.group.querySelector(".grid"),
      };
      this.shapes.gridBefore = this.shapes.grid?.innerHTML;
    }
    draw() {
      this.remember();
      const move = (px, py) => this.place((px - this.left) / this.width, 1 - (py - this.top) / this.height);
      for (const [element, points] of this.shapes.lines) element.setAttribute("points", points.map(([x, y]) => move(x, y).map((c) => c.toFixed(2)).join(",")).join(" "));
      for (const [element, [cx, cy]] of this.shapes.circles) { const [x, y] = move(cx, cy); element.setAttribute("cx", x); element.setAttribute("cy", y); }
      for (const [element, [x, y, w, h]] of this.shapes.rects) {
        const [[x0, y0], [x1, y1]] = [move(x, y), move(x + w, y + h)];
        for (const [name, value] of Object.entries({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 })) element.setAttribute(name, value);
      }
      for (const [element, [x, y]] of this.shapes.marks) { const [px, py] = move(x, y); element.setAttribute("transform", `translate(${px - x} ${py - y})`); }
      for (const [name, group, before] of this.shapes.ticks) if (before.trim()) this.drawTicks(name, group, before);
    }
    drawTicks(name, group, before) {
      const axis = this[name];
      const horizontal = name === "x";
      const { grid, gridBefore } = this.shapes;
      if (axis.from === 0 && axis.to === 1) {
        group.innerHTML = before;
        if (grid && !horizontal) grid.innerHTML = gridBefore;
        return;
      }
      group.replaceChildren();
      if (grid && !horizontal) grid.replaceChildren();
      const bottom = this.top + this.height;
      for (const tick of ticksBetween(axis.value(axis.from), axis.value(axis.to), axis.log)) {
        const [x, y] = horizontal ? [this.place(axis.share(tick), 0)[0], bottom] : [this.left, this.place(0, axis.share(tick))[1]];
        if (x < this.left - 0.1 || x > this.left + this.width + 0.1 || y < this.top - 0.1 || y > bottom + 0.1) continue;
        const [x2, y2] = horizontal ? [x, y + 3] : [x - 3, y];
        group.append(shape("line", { x1: x, y1: y, x2, y2, stroke: "#1a1a1a", "stroke-width": 0.7 }));
        const anchor = horizontal ? { x, y: y + 10, "text-anchor": "middle" } : { x: x - 5, y: y + 2.5, "text-anchor": "end" };
        group.append(shape("text", { ...anchor, "font-size": 7, fill: "#5f6368" }, short(tick)));
        if (grid && !horizontal) grid.append(shape("line", { x1: x, y1: y, x2: x + this.width, y2: y, stroke: "#dadce0", "stroke-width": 0.4 }));
      }
    }
    /* The value of a visible series next to a point of the view, if one is near. */
    nearest(px, py, reach) {
      let best = null;
      for (const group of this.data.querySelectorAll(".series:not(.off)")) {
        for (const pair of (group.dataset.xy || "").split(" ").filter(Boolean)) {
          const [x, y] = pair.split(",").map(Number);
          const [qx, qy] = this.at(x, y);
          const distance = Math.hypot(qx - px, qy - py);
          if (distance < reach && (!best || distance < best.distance) && this.contains(qx, qy)) best = { distance, x, y, qx, qy, name: group.dataset.series };
        }
      }
      return best;
    }
  }

  class Chart {
    constructor(figure, svg) {
      this.svg = svg;
      this.stage = svg.parentElement;
      this.plot = this.stage.parentElement;
      this.axes = { x: {}, y: {} };
      this.panels = [...svg.querySelectorAll(".panel")].map((group) => new Panel(group, this.axes));
      this.plot.classList.add("live");
      this.plot.tabIndex = 0;
      this.plot.setAttribute("role", "group");
      this.plot.setAttribute("aria-label", `${svg.querySelector("title").textContent}. Keys: + and - zoom, arrows move, 0 resets.`);
      this.tools(figure);
      this.toggles();
      this.pointer();
      this.plot.addEventListener("keydown", (event) => this.key(event));
    }
    get scale() { return this.stage.clientWidth / this.svg.viewBox.baseVal.width; }
    tools(figure) {
      const button = (text, label, act) => {
        const element = make("button", { type: "button", "aria-label": label, title: label }, text);
        element.addEventListener("click", act);
        return element;
      };
      this.resetButton = button("reset", "Reset the zoom", () => this.reset());
      this.resetButton.disabled = true;
      this.resetButton.classList.add("reset");
      const hint = make("span", {}, "drag to zoom · click the legend to hide");
      figure.querySelector(".plot").before(make("div", { class: "tools" }, hint, button("+", "Zoom in", () => this.zoom(1.5)), button("−", "Zoom out", () => this.zoom(1 / 1.5)), this.resetButton));
    }
    toggles() {
      const { width, height } = this.svg.viewBox.baseVal;
      for (const legend of this.svg.querySelectorAll(".legend")) {
        const name = legend.dataset.series;
        const series = [...this.svg.querySelectorAll(".series")].filter((group) => group.dataset.series === name);
        if (!series.length) continue;
        const [x, y, w, h] = legend.dataset.box.split(" ").map(Number);
        const button = make("button", { type: "button", class: "toggle", "data-series": name, "aria-pressed": "true", "aria-label": `Show ${name}` });
        Object.assign(button.style, { left: `${(100 * x) / width}%`, top: `${(100 * y) / height}%`, width: `${(100 * w) / width}%`, height: `${(100 * h) / height}%` });
        button.addEventListener("click", () => {
          const shown = button.getAttribute("aria-pressed") !== "true";
          button.setAttribute("aria-pressed", String(shown));
          for (const group of [...series, legend]) group.classList.toggle("off", !shown);
        });
        this.stage.append(button);
      }
    }
    position(event) {
      const box = this.stage.getBoundingClientRect();
      return [(event.clientX - box.left) / this.scale, (event.clientY - box.top) / this.scale];
    }
    pointer() {
      let start = null;
      const frame = make("div", { class: "frame", hidden: "" });
      this.stage.append(frame);
      const inside = ([x, y]) => this.panels.find((panel) => panel.contains(x, y));
      const clamp = (panel, [x, y]) => [Math.min(Math.max(x, panel.left), panel.left + panel.width), Math.min(Math.max(y, panel.top), panel.top + panel.height)];
      this.stage.addEventListener("pointerdown", (event) => {
        const at = this.position(event);
        const panel = inside(at);
        if (!panel || event.button !== 0 || event.pointerType === "touch" || event.target.closest("button")) return;
        start = { panel, at };
        this.stage.setPointerCapture(event.pointerId);
      });
      this.stage.addEventListener("pointermove", (event) => {
        if (!start) return this.hover(this.position(event), inside);
        const [a, b] = [start.at, clamp(start.panel, this.position(event))];
        const s = this.scale;
        Object.assign(frame.style, { left: `${Math.min(a[0], b[0]) * s}px`, top: `${Math.min(a[1], b[1]) * s}px`, width: `${Math.abs(a[0] - b[0]) * s}px`, height: `${Math.abs(a[1] - b[1]) * s}px` });
        frame.hidden = false;
        return this.hover(null);
      });
      const end = (event) => {
        if (!start) return;
        const { panel, at } = start;
        const to = clamp(panel, this.position(event));
        start = null;
        frame.hidden = true;
        if (Math.hypot(to[0] - at[0], to[1] - at[1]) * this.scale < 8) return;
        const [[u0, v0], [u1, v1]] = [panel.shares(...at), panel.shares(...to)];
        /* A flat or narrow frame zooms along one axis alone. */
        if (Math.abs(to[0] - at[0]) * this.scale > 8) [panel.x.from, panel.x.to] = [Math.min(u0, u1), Math.max(u0, u1)];
        if (Math.abs(to[1] - at[1]) * this.scale > 8) [panel.y.from, panel.y.to] = [Math.min(v0, v1), Math.max(v0, v1)];
        this.draw();
      };
      this.stage.addEventListener("pointerup", end);
      this.stage.addEventListener("pointercancel", () => { start = null; frame.hidden = true; });
      this.stage.addEventListener("pointerleave", () => this.hover(null));
      this.stage.addEventListener("dblclick", () => this.reset());
      /* The wheel scrolls the page, unless the chart has the focus or the fingers pinch. */
      this.stage.addEventListener("wheel", (event) => {
        const at = this.position(event);
        const panel = inside(at);
        if (!panel || !(event.ctrlKey || event.metaKey || this.plot.contains(document.activeElement))) return;
        event.preventDefault();
        this.zoom(Math.exp(-Math.sign(event.deltaY) * 0.2), panel, panel.shares(...at));
      }, { passive: false });
    }
    hover(at, inside) {
      this.tip ??= this.stage.appendChild(make("div", { class: "tip", role: "status", hidden: "" }));
      this.dot ??= this.stage.appendChild(make("div", { class: "point", hidden: "" }));
      const panel = at && inside(at);
      const found = panel && panel.nearest(...at, 22 / this.scale);
      this.tip.hidden = this.dot.hidden = !found;
      if (!found) return;
      const { xLabel, yLabel, title } = panel.group.dataset;
      const ofY = panel.y.rows ? "" : `\n${yLabel || title || "y"}: ${short(found.y)}`;
      this.tip.textContent = `${found.name}\n${xLabel || "x"}: ${short(found.x)}${ofY}`;
      const s = this.scale;
      const [x, y] = [found.qx * s, found.qy * s];
      Object.assign(this.dot.style, { left: `${x}px`, top: `${y}px` });
      const right = x + 14 + this.tip.offsetWidth < this.stage.clientWidth;
      Object.assign(this.tip.style, { left: `${right ? x + 12 : Math.max(0, x - 12 - this.tip.offsetWidth)}px`, top: `${Math.max(0, y - this.tip.offsetHeight - 8)}px` });
    }
    each(act) { for (const axis of [...Object.values(this.axes.x), ...Object.values(this.axes.y)]) act(axis); }
    /* Zooms one panel about a point, or all about their centres. */
    zoom(factor, panel, centre) {
      const about = (axis, share) => {
        const at = share ?? 0.5 * (axis.from + axis.to);
        const [from, to] = [at - (at - axis.from) / factor, at + (axis.to - at) / factor];
        [axis.from, axis.to] = to - from >= 1 ? [0, 1] : from < 0 ? [0, to - from] : to > 1 ? [1 - to + from, 1] : [from, to];
      };
      if (panel) { about(panel.x, centre[0]); about(panel.y, centre[1]); } else this.each((axis) => about(axis));
      this.draw();
    }
    pan(dx, dy) {
      for (const [name, share] of [["x", dx], ["y", dy]]) for (const axis of Object.values(this.axes[name])) {
        const width = axis.to - axis.from;
        const from = Math.min(Math.max(axis.from + share * width, 0), 1 - width);
        [axis.from, axis.to] = [from, from + width];
      }
      this.draw();
    }
    reset() { this.each((axis) => { [axis.from, axis.to] = [0, 1]; }); this.draw(); }
    draw() {
      let zoomed = false;
      this.each((axis) => { zoomed ||= axis.to - axis.from < 1; });
      this.resetButton.disabled = !zoomed;
      this.plot.dataset.zoomed = String(zoomed);
      this.hover(null);
      for (const panel of this.panels) panel.draw();
    }
    key(event) {
      if (event.target !== this.plot) return;
      const act = { "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.reset(), ArrowLeft: () => this.pan(-0.2, 0), ArrowRight: () => this.pan(0.2, 0), ArrowUp: () => this.pan(0, 0.2), ArrowDown: () => this.pan(0, -0.2) }[event.key];
      if (!act || (event.key.startsWith("Arrow") && this.resetButton.disabled)) return;
      event.preventDefault();
      act();
    }
  }

  for (const figure of document.querySelectorAll("figure.figure")) {
    const svg = figure.querySelector(".stage > svg");
    if (svg && svg.querySelector(".panel")) new Chart(figure, svg);
  }
  return { shape, ticksBetween };
})();

