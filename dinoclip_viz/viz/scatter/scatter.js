// A map of points, drawn by Plotly with WebGL: hover, zoom, pan, lasso, legend, and the images of what is selected.
//
// mount(element, payload, options) -> {update, select, destroy, state}. The payload is what payload.py makes.
// options: onselect(rows) instead of the sheet of images below the map; card(row) -> Promise of {src, title};
// svg: true for a map of few points without WebGL, which needs no 'unsafe-eval' in a page's policy.

const scatter = (() => {
  const MOST_WITHOUT_WEBGL = 5000; // points that SVG draws in a bearable time
  const MOST_IMAGES = 120; // images on the sheet
  const STEP = 0.15; // of the view, per key
  const PAUSE = 150; // ms without a movement after which the map is drawn anew
  const GREY = "#9a9aa2";
  const HELP = "Drag to move the map, or with Lasso to select points; the wheel zooms. Keys on the map: arrows move, + and − "
    + "zoom, 0 shows everything, N and P step through the points, S selects what is in view, Escape clears the selection.";
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  function make(tag, settings = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(settings)) {
      if (name in made && name !== "role") made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  function bytesOf(text) {
    const plain = atob(text);
    const bytes = new Uint8Array(plain.length);
    for (let i = 0; i < plain.length; i++) bytes[i] = plain.charCodeAt(i);
    return bytes.buffer;
  }

  let webgl = null; // whether the browser has it: asked once, since contexts are few
  function hasWebGL() {
    if (webgl === null) {
      const context = document.createElement("canvas").getContext("webgl");
      webgl = context !== null;
      context?.getExtension("WEBGL_lose_context")?.loseContext();
    }
    return webgl;
  }

  /** The payload with typed arrays. */
  function decoded(payload) {
    const points = new Float32Array(bytesOf(payload.points));
    const [x, y] = [new Float32Array(payload.count), new Float32Array(payload.count)];
    for (let row = 0; row < payload.count; row++) [x[row], y[row]] = [points[2 * row], points[2 * row + 1]];
    const groups = payload.groups === null ? null : new Uint16Array(bytesOf(payload.groups));
    const values = payload.values === null ? null : new Float32Array(bytesOf(payload.values));
    return { ...payload, x, y, groups, values };
  }

  /** Rows of each series: one per group, or those with and those without a value, or all. */
  function seriesOf(data, by) {
    const key = by === "value" ? (row) => (Number.isNaN(data.values[row]) ? 1 : 0)
      : by === "label" ? (row) => data.groups[row] : () => 0;
    const count = by === "value" ? 2 : by === "label" ? data.names.length : 1;
    const sizes = new Uint32Array(count);
    for (let row = 0; row < data.count; row++) sizes[key(row)]++;
    const series = Array.from(sizes, (size) => new Uint32Array(size));
    sizes.fill(0);
    for (let row = 0; row < data.count; row++) series[key(row)][sizes[key(row)]++] = row;
    return series;
  }

  function traceOf(data, by, rows, index, type) {
    const at = (values) => Float32Array.from(rows, (row) => values[row]);
    const marker = { size: data.size, opacity: data.count > 2000 ? 0.75 : 0.9, line: { width: 0 } };
    if (by === "value" && index === 0) {
      const stops = data.scale.map((colour, place) => [place / (data.scale.length - 1), colour]);
      Object.assign(marker, { color: at(data.values), colorscale: stops, cmin: data.low, cmax: data.high, showscale: false });
    } else {
      marker.color = by === "label" ? data.colours[index] : by === "value" ? GREY : data.colours[0] ?? "#0072b2";
    }
    const faint = { marker: { opacity: 0.12 } };
    return { type, mode: "markers", x: at(data.x), y: at(data.y), marker, hoverinfo: "none", unselected: faint };
  }

  /** Ranges of both axes that show all points with a margin. */
  function extent(data) {
    const range = (values) => {
      let [low, high] = [Infinity, -Infinity];
      for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
      const margin = (high - low || 1) * 0.05;
      return [low - margin, high + margin];
    };
    return [range(data.x), range(data.y)];
  }

  /** Lets the pointer, two fingers and the wheel move a picture of the map; when they pause, `settle` draws the map.
   *
   * Drawing 100,000 points takes longer than a frame on many machines, and moving their picture does not.
   *
   * @param active whether a drag moves the map now
   * @param moved called at each movement
   * @param settle called with the scale and the offset in pixels of the picture, which is then put back
   */
  function movable(stage, plot, active, moved, settle) {
    const pointers = new Map(); // id -> position on the stage
    let [scale, x, y] = [1, 0, 0];
    let timer = 0;
    const moving = () => scale !== 1 || x !== 0 || y !== 0;
    const positionOf = (event) => {
      const { left, top } = stage.getBoundingClientRect();
      return [event.clientX - left - stage.clientLeft, event.clientY - top - stage.clientTop];
    };
    const grip = () => { // middle of the pointers, and their mean distance from it
      const all = [...pointers.values()];
      const middle = [0, 1].map((axis) => all.reduce((sum, each) => sum + each[axis], 0) / all.length);
      return [...middle, all.reduce((sum, each) => sum + Math.hypot(each[0] - middle[0], each[1] - middle[1]), 0) / all.length];
    };
    const put = () => { plot.style.transform = moving() ? `translate(${x}px, ${y}px) scale(${scale})` : ""; };
    function move(factor, from, to) {
      [scale, x, y] = [scale * factor, factor * (x - from[0]) + to[0], factor * (y - from[1]) + to[1]];
      put();
      moved();
      clearTimeout(timer);
      timer = setTimeout(settled, PAUSE);
    }
    function reset() {
      clearTimeout(timer);
      [scale, x, y] = [1, 0, 0];
      put();
    }
    function settled() {
      if (!moving()) return;
      const given = [scale, x, y];
      clearTimeout(timer);
      [scale, x, y] = [1, 0, 0];
      settle(...given);
      put();
    }
    stage.addEventListener("pointerdown", (event) => {
      if (!active() || event.button !== 0 || !plot.contains(event.target)) return;
      pointers.set(event.pointerId, positionOf(event));
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) return;
      const before = grip();
      pointers.set(event.pointerId, positionOf(event));
      const after = grip();
      if (before.some((value, place) => value !== after[place])) move(before[2] && after[2] ? after[2] / before[2] : 1, before, after);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
    }
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const turned = event.deltaY * [1, 16, 400][event.deltaMode];
      const at = positionOf(event);
      move(Math.exp(-0.002 * Math.max(-120, Math.min(120, turned))), at, at);
    }, { passive: false });
    return { moving, settled, reset };
  }

  function csvOf(data, rows) {
    const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
    const columns = { row: (row) => row };
    if (data.titles) columns.title = (row) => quoted(data.titles[row]);
    if (data.groups) columns.label = (row) => quoted(data.names[data.groups[row]]);
    if (data.values) columns.value = (row) => (Number.isNaN(data.values[row]) ? "" : data.values[row]);
    Object.assign(columns, { x: (row) => data.x[row], y: (row) => data.y[row] });
    const lines = [Object.keys(columns).join(",")];
    for (const row of rows) lines.push(Object.values(columns).map((column) => column(row)).join(","));
    return lines.join("\r\n") + "\r\n";
  }

  function mount(element, payload, options = {}) {
    let data = null; // the decoded payload
    let by = "label"; // what the colours show: "label", "value" or "none"
    let series = []; // rows of each trace
    let hidden = new Set(); // traces that the legend hides
    let selected = null; // rows, ascending; null for no selection
    let lassoed = false; // whether a lasso is being drawn
    let current = -1; // row whose card is shown
    let drawn = Promise.resolve();
    const Plotly = window.Plotly;

    const button = (text, run, settings = {}) => {
      const made = make("button", { type: "button", textContent: text, ...settings });
      made.addEventListener("click", run);
      return made;
    };
    const plot = make("div", { className: "dvs-plot" });
    const card = make("div", { className: "dvs-card", hidden: true });
    const ring = make("div", { className: "dvs-ring", hidden: true });
    const stage = make("div", { className: "dvs-stage", tabIndex: 0, role: "application" }, plot, ring, card);
    const move = button("Move", () => mode("pan"), { ariaPressed: "true" });
    const lasso = button("Lasso", () => mode("lasso"), { ariaPressed: "false" });
    const chooser = make("select", { ariaLabel: "Colour by" });
    const colourBy = make("label", {}, "Colour by ", chooser);
    const tools = make("div", { className: "dvs-row", role: "toolbar", ariaLabel: "Map" }, move, lasso,
      button("+", () => zoom(0.7), { ariaLabel: "Zoom in" }), button("−", () => zoom(1 / 0.7), { ariaLabel: "Zoom out" }),
      button("Show all", () => show(extent(data))), button("Select in view", selectView),
      button("Clear selection", () => select(null)), colourBy);
    const legend = make("div", { className: "dvs-row dvs-legend" });
    const status = make("div", { className: "dvs-status", role: "status" });
    const save = button("Download CSV", download, { hidden: true });
    const sheet = make("div", { className: "dvs-sheet" });
    const spoken = make("div", { className: "dvs-hidden", role: "status" });
    const problem = make("p", { hidden: true });
    const help = make("p", { className: "dvs-faint", textContent: HELP });
    const foot = make("div", { className: "dvs-row" }, status, save);
    const root = make("div", { className: "dvs" }, problem, tools, stage, legend, foot, sheet, help, spoken);
    element.append(root);

    // The map

    function draw() {
      const type = !options.svg && hasWebGL() ? "scattergl" : "scatter";
      problem.textContent = !Plotly ? "The plotting library is missing from this page."
        : type === "scatter" && data.count > MOST_WITHOUT_WEBGL
          ? `This browser has no WebGL, which a map of ${data.count} points needs; up to ${MOST_WITHOUT_WEBGL} work without it.`
          : "";
      problem.hidden = !problem.textContent;
      tools.hidden = stage.hidden = legend.hidden = help.hidden = !problem.hidden;
      if (!problem.hidden) {
        root.dataset.ready = "true";
        return;
      }
      series = seriesOf(data, by);
      hidden = new Set();
      moves.reset();
      const [xrange, yrange] = extent(data);
      const axis = { visible: false, zeroline: false, showgrid: false, autorange: false };
      const layout = {
        dragmode: lasso.ariaPressed === "true" && "lasso", showlegend: false, hovermode: "closest",
        margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", selections: [],
        xaxis: { ...axis, range: xrange }, yaxis: { ...axis, range: yrange, scaleanchor: "x" },
      };
      const traces = series.map((rows, index) => traceOf(data, by, rows, index, type));
      const config = { displayModeBar: false, scrollZoom: false, responsive: true, doubleClick: false };
      drawn = Plotly.react(plot, traces, layout, config).then(() => {
        if (!plot.dataset.listening) listen();
        if (selected) paint();
        root.dataset.ready = "true";
      });
      drawLegend();
    }

    function listen() {
      plot.dataset.listening = "true";
      plot.on("plotly_hover", (event) => {
        if (moves.moving()) return;
        const { curveNumber, pointNumber } = event.points[0];
        point(series[curveNumber][pointNumber]);
      });
      plot.on("plotly_unhover", () => point(-1));
      plot.on("plotly_relayout", () => place());
      plot.on("plotly_selecting", () => { lassoed = true; });
      plot.on("plotly_selected", (event) => { // also comes, without points, when a map with a lasso is drawn again
        if (event && lassoed) took(event.points.map(({ curveNumber, pointNumber }) => series[curveNumber][pointNumber]));
        lassoed = false;
      });
      plot.on("plotly_deselect", () => select(null));
    }

    const drawnView = () => [plot.layout.xaxis.range.map(Number), plot.layout.yaxis.range.map(Number)];
    function view() {
      moves.settled();
      return drawnView();
    }
    const moves = movable(stage, plot, () => data && lasso.ariaPressed === "false", () => point(-1), (scale, x, y) => {
      const [[left, right], [bottom, top]] = drawnView();
      const across = (at) => left + ((right - left) * (at - x)) / (scale * plot.clientWidth);
      const down = (at) => top - ((top - bottom) * (at - y)) / (scale * plot.clientHeight);
      show([[across(0), across(plot.clientWidth)], [down(plot.clientHeight), down(0)]]);
    });
    const show = ([xrange, yrange]) => Plotly.relayout(plot, { "xaxis.range": xrange, "yaxis.range": yrange });
    function zoom(factor) {
      show(view().map(([low, high]) => {
        const [middle, half] = [(low + high) / 2, ((high - low) / 2) * factor];
        return [middle - half, middle + half];
      }));
    }
    function mode(name) {
      moves.settled();
      move.ariaPressed = String(name === "pan");
      lasso.ariaPressed = String(name === "lasso");
      Plotly.relayout(plot, { dragmode: name === "lasso" && name });
    }

    // Legend

    function drawLegend() {
      legend.replaceChildren();
      if (by === "value") {
        const strip = make("span", { className: "dvs-strip", role: "img",
          ariaLabel: `Colours from ${data.low.toPrecision(3)} to ${data.high.toPrecision(3)}` });
        strip.style.background = `linear-gradient(to right, ${data.scale.join(", ")})`;
        legend.append(data.valueName, data.low.toPrecision(3), strip, data.high.toPrecision(3));
        if (series[1].length) legend.append(swatch(GREY), `no value (${series[1].length})`);
      } else if (by === "label") {
        data.names.forEach((name, index) => legend.append(entry(name, index)));
      }
    }
    function swatch(colour) {
      const dot = make("span", { className: "dvs-dot" });
      dot.style.background = colour;
      return dot;
    }
    function entry(name, index) {
      const made = button("", () => {
        if (hidden.has(index)) hidden.delete(index);
        else hidden.add(index);
        made.ariaPressed = String(!hidden.has(index));
        Plotly.restyle(plot, { visible: !hidden.has(index) }, [index]);
      }, { ariaPressed: "true", title: "Show or hide" });
      made.append(swatch(data.colours[index]), `${name} (${series[index].length})`);
      return made;
    }

    // The card of one point

    function place() {
      if (current < 0 || card.hidden) return;
      const [[left, right], [bottom, top]] = view();
      const [width, height] = [plot.clientWidth, plot.clientHeight];
      const x = ((data.x[current] - left) / (right - left)) * width;
      const y = ((top - data.y[current]) / (top - bottom)) * height;
      ring.hidden = x < 0 || y < 0 || x > width || y > height;
      ring.style.transform = `translate(${x}px, ${y}px)`;
      const beside = x + card.offsetWidth + 20 < width ? x + 14 : Math.max(0, x - card.offsetWidth - 14);
      const below = Math.min(Math.max(0, y - card.offsetHeight / 2), Math.max(0, height - card.offsetHeight));
      card.style.transform = `translate(${beside}px, ${below}px)`;
    }
    function captionOf(row) {
      const parts = [data.titles ? data.titles[row] : `point ${row + 1}`];
      if (data.groups) parts.push(data.names[data.groups[row]]);
      if (data.values && !Number.isNaN(data.values[row])) parts.push(`${data.valueName} ${data.values[row].toPrecision(3)}`);
      return parts.filter(Boolean).join(" · ");
    }
    function fill(row, src, caption) {
      const parts = src ? [make("img", { src, alt: "" })] : [];
      card.replaceChildren(...parts, make("div", { textContent: caption }));
      card.querySelector("img")?.addEventListener("load", place);
      place();
    }
    function point(row, aloud = false) {
      current = row;
      card.hidden = ring.hidden = row < 0;
      if (row < 0) return;
      fill(row, data.thumbnails?.[row], captionOf(row));
      if (aloud) spoken.textContent = captionOf(row);
      options.card?.(row).then((known) => {
        if (current === row && known) fill(row, known.src, known.title || captionOf(row));
      }, () => {});
    }

    // Selection

    function took(rows) {
      selected = Uint32Array.from(rows).sort();
      told();
      options.onselect?.(selected);
    }
    function select(rows) {
      const before = selected;
      selected = rows === null ? null : Uint32Array.from(rows).sort();
      if (!before && !selected) return;
      paint();
      told();
      options.onselect?.(selected);
    }
    function paint() {
      const chosen = selected && new Set(selected);
      const of = (rows) => (chosen ? Array.from(rows.keys()).filter((place) => chosen.has(rows[place])) : null);
      Plotly.update(plot, { selectedpoints: series.map(of) }, { selections: [] });
    }
    function selectView() {
      const [[left, right], [bottom, top]] = view();
      const rows = [];
      series.forEach((some, index) => {
        if (hidden.has(index)) return;
        for (const row of some) {
          const [x, y] = [data.x[row], data.y[row]];
          if (x >= left && x <= right && y >= bottom && y <= top) rows.push(row);
        }
      });
      select(rows);
    }
    function told() {
      status.textContent = selected ? `${selected.length} of ${data.count} points selected` : `${data.count} points`;
      if (options.onselect) return;
      save.hidden = !selected?.length;
      const shown = selected ? [...selected.subarray(0, MOST_IMAGES)] : [];
      sheet.replaceChildren(...shown.map((row) => {
        const image = data.thumbnails?.[row] ? [make("img", { src: data.thumbnails[row], alt: "" })] : [];
        return make("figure", {}, ...image, make("figcaption", { textContent: captionOf(row) }));
      }));
      if (selected && selected.length > shown.length) sheet.append(`and ${selected.length - shown.length} more in the CSV`);
    }
    function download() {
      const url = URL.createObjectURL(new Blob([csvOf(data, selected)], { type: "text/csv" }));
      make("a", { href: url, download: "selection.csv" }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    }

    // Keys

    function step(by) {
      const rows = selected?.length ? selected : null;
      const count = rows ? rows.length : data.count;
      const place = rows ? rows.indexOf(current) : current;
      const next = place < 0 ? (by > 0 ? 0 : count - 1) : (place + by + count) % count;
      point(rows ? rows[next] : next, true);
    }
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !data) return;
      const arrow = ARROWS[event.key];
      const runs = {
        "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1 / 0.7), 0: () => show(extent(data)),
        n: () => step(1), p: () => step(-1), s: selectView, Escape: () => (point(-1), select(null)),
      };
      const run = arrow ? () => show(view().map(([low, high], axis) => {
        const gap = (high - low) * STEP * arrow[axis];
        return [low + gap, high + gap];
      })) : runs[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!run) return;
      event.preventDefault();
      run();
    });
    stage.addEventListener("mouseleave", () => point(-1));
    chooser.addEventListener("change", () => {
      by = chooser.value;
      draw();
    });

    function update(given) {
      data = given && decoded(given);
      root.hidden = !data;
      if (!data) return;
      selected = null;
      point(-1);
      stage.ariaLabel = `${data.title}: map of ${data.count} points`;
      const ways = [...(data.groups ? [["label", data.labelName]] : []), ...(data.values ? [["value", data.valueName]] : [])];
      chooser.replaceChildren(...ways.map(([value, textContent]) => make("option", { value, textContent })));
      colourBy.hidden = ways.length < 2;
      by = ways.length ? ways[0][0] : "none";
      draw();
      told();
    }
    update(payload);
    const state = () => ({ data, selected, series, view: plot.layout ? view() : null, current });
    const destroy = () => {
      if (Plotly) Plotly.purge(plot);
      root.remove();
    };
    return { update, select, destroy, state, ready: () => drawn };
  }

  return { mount };
})();
