// Hover over a patch and see its cosine similarity to every patch of every image, computed here from int8 features.
//
// mount(element, payload, onpins) -> {update, destroy, state}; render({model, el}) is what anywidget calls.
// The payload is what payload.py makes. All listeners sit on elements made here: removing the element frees them.

const HOLD = 300; // milliseconds that a finger rests before it explores in every direction
const SLOP = 7; // pixels that a finger or mouse may move and still tap
const PIN_COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff"];
const HELP = "A ring marks the nearest patch in each image. Click or tap pins a patch, a second click unpins it. On touch: drag "
  + "sideways, or hold and drag; up and down scrolls. Keys: arrows move (Shift by five), Enter or Space pins, Escape "
  + "clears the pins.";
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

const number = (value) => value.toFixed(2).replace("-", "−");

function make(tag, settings = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name in made && name !== "role") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function bytesOf(data) {
  if (typeof data !== "string") {
    return new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
  }
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The payload with typed arrays, and where each image's patches begin. */
function decoded(payload) {
  const bytes = bytesOf(payload.features);
  const starts = [0];
  for (const { rows, columns } of payload.images) starts.push(starts[starts.length - 1] + rows * columns);
  const count = starts[starts.length - 1];
  const features = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const scales = new Float32Array(bytesOf(payload.scales).slice().buffer);
  if (features.length !== count * payload.dimension || scales.length !== count) {
    throw new Error(`${features.length} feature bytes do not fit ${count} patches of ${payload.dimension}`);
  }
  return { ...payload, features, scales, starts, count, table: bytesOf(payload.colours) };
}

/** Cosine similarity of one patch to all: integer dot products times both patches' scales. */
function similarities(data, query, into) {
  const { features, scales, dimension, count } = data;
  const own = Int32Array.from(features.subarray(query * dimension, (query + 1) * dimension));
  for (let patch = 0, at = 0; patch < count; patch++) {
    let sum = 0;
    for (let d = 0; d < dimension; d++, at++) sum = (sum + own[d] * features[at]) | 0;
    into[patch] = Math.max(-1, Math.min(1, sum * scales[query] * scales[patch]));
  }
  return into;
}

/** Lowest and highest value, never the same. */
function extremes(values) {
  let [low, high] = [1, -1];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, Math.max(high, low + 1e-6)];
}

function mount(element, payload, onpins = () => {}) {
  const host = make("div");
  const shadow = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet(); // allowed where a policy forbids inline styles
  shadow.adoptedStyleSheets = [sheet];

  let data = null; // the decoded payload
  let views = []; // one per image: its elements
  let cursor = 0; // patch, counted over all images
  let pins = []; // {slot, patch, mark, map}, in the order of pinning
  let choice = "cursor"; // shown by the maps: also "highest", "mean" or a slot
  let [map, range] = [new Float32Array(0), [0, 1]]; // the map that is shown, and its scale
  let shown = ""; // settings of the computed maps
  let where = [0, 0, 0]; // the pointer's last position: [client x, client y, image]
  let frame = 0; // the request for the next one
  let [moved, announce] = [false, false]; // since the last frame: by the pointer, to be spoken
  let [touch, dragged] = [null, false]; // a pointer that is down; whether it has moved

  // Elements

  const images = make("div", { className: "images" });
  const opacity = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.6 });
  const smooth = make("input", { type: "checkbox", checked: true });
  const fitted = make("input", { type: "checkbox" });
  const clear = make("button", { type: "button", textContent: "Clear pins" });
  const choices = make("div", { className: "row", role: "radiogroup", "aria-label": "Shown by the maps" });
  const strip = make("canvas", { width: 256, height: 1, role: "img" });
  const needle = make("div", { className: "needle" });
  const ticks = make("div", { className: "ticks", "aria-hidden": "true" });
  const readout = make("div", { className: "readout" });
  const live = make("div", { className: "hidden", "aria-live": "polite", role: "status" });
  const size = make("p", { className: "faint" });
  const bar = make("div", { className: "bar" }, strip, needle, ticks);
  const labels = [[fitted, "fit the scale"], ["opacity", opacity], [smooth, "smooth"]];
  const controls = make("div", { className: "row" }, bar, ...labels.map((pair) => make("label", {}, ...pair)), clear);
  const help = make("p", { className: "faint", textContent: HELP });
  // The choices stand below the images, which must not move when a pin is added.
  const root = make("div", { className: "root" }, images, readout, choices, controls, help, size, live);
  shadow.append(root);
  element.append(host);

  // Patches and positions

  const imageOf = (patch) => views.findLastIndex((_, index) => data.starts[index] <= patch);
  function positionOf(patch) {
    const image = imageOf(patch);
    const { columns } = data.images[image];
    const inside = patch - data.starts[image];
    return { image, row: Math.floor(inside / columns), column: inside % columns };
  }
  function patchIn(image, x, y) {
    const { rows, columns } = data.images[image];
    const box = views[image].box.getBoundingClientRect();
    const column = Math.floor(((x - box.left) / box.width) * columns);
    const row = Math.floor(((y - box.top) / box.height) * rows);
    if (!(column >= 0 && column < columns && row >= 0 && row < rows)) return -1;
    return data.starts[image] + row * columns + column;
  }
  /** The patch at a point of the window, -1 where there is none; a finger may leave its first image. */
  function patchAt(x, y, first) {
    for (const image of [first, ...views.keys()]) {
      const patch = patchIn(image, x, y);
      if (patch >= 0) return patch;
    }
    return -1;
  }
  function put(mark, patch) {
    const { image, row, column } = positionOf(patch);
    const { rows, columns } = data.images[image];
    mark.style.left = `${((column + 0.5) / columns) * 100}%`;
    mark.style.top = `${((row + 0.5) / rows) * 100}%`;
    mark.style.width = `${100 / columns}%`;
    mark.style.height = `${100 / rows}%`;
    mark.classList.toggle("right", column > 0.8 * columns);
    mark.classList.toggle("top", row < 0.2 * rows);
    mark.hidden = false;
    if (mark.parentNode !== views[image].box) views[image].box.append(mark);
  }
  function described(patch) {
    const { image, row, column } = positionOf(patch);
    return `${data.images[image].name}, row ${row + 1}, column ${column + 1}`;
  }

  // Computing and painting, once per frame

  const all = () => choice === "highest" || choice === "mean";
  const chosenPins = () => pins.filter(({ slot }) => all() || slot === choice);
  const sources = () => (choice === "cursor" ? [cursor] : chosenPins().map(({ patch }) => patch));
  function compute() {
    const chosen = chosenPins();
    if (!chosen.length) return similarities(data, cursor, map);
    for (let patch = 0; patch < data.count; patch++) {
      let value = choice === "mean" ? 0 : -1;
      for (const pin of chosen) {
        value = choice === "mean" ? value + pin.map[patch] / chosen.length : Math.max(value, pin.map[patch]);
      }
      map[patch] = value;
    }
    return map;
  }
  function paint(image) {
    const { rows, columns, name } = data.images[image];
    const view = views[image];
    const [low, high] = range;
    const from = data.starts[image];
    const own = sources();
    const pixels = view.pixels.data;
    let best = -1;
    for (let i = 0; i < rows * columns; i++) {
      const value = map[from + i];
      const fraction = (value - low) / (high - low);
      const at = 3 * Math.max(0, Math.min(255, Math.floor(fraction * 256)));
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = data.table[at + c];
      if ((best < 0 || value > map[best]) && !own.includes(from + i)) best = from + i;
    }
    view.canvas.getContext("2d").putImageData(view.pixels, 0, 0);
    view.best.hidden = best < 0;
    if (best >= 0) put(view.best, best);
    view.found = best < 0 ? "" : `nearest ${number(map[best])}`;
    view.caption.textContent = best < 0 ? name : `${name} · ${view.found}`;
  }
  function draw() {
    frame = 0;
    if (!data) return;
    const begun = performance.now();
    if (moved) {
      const patch = patchAt(...where);
      if (patch >= 0) cursor = patch;
      moved = false;
    }
    const wanted = [choice, sources(), fitted.checked].join();
    const anew = wanted !== shown;
    if (anew) {
      shown = wanted;
      map = compute();
      range = fitted.checked ? extremes(map) : [data.low, data.high];
      views.forEach((_, image) => paint(image));
      label();
    }
    report();
    host.dispatchEvent(new CustomEvent("hover-frame", { detail: { milliseconds: performance.now() - begun, anew } }));
  }
  const ask = () => (frame ||= requestAnimationFrame(draw));
  function label() {
    const [low, high] = range;
    const fractions = [0, 0.5, 1];
    const marks = fractions.map((fraction) => make("span", {}, number(low + fraction * (high - low))));
    if (!fitted.checked) marks[0].prepend("≤ ");
    marks.forEach(({ style }, at) => {
      style.left = `${100 * fractions[at]}%`;
      style.translate = `${-50 * at}%`;
    });
    ticks.replaceChildren(...marks);
    strip.setAttribute("aria-label", `Colours of cosine similarity from ${number(low)} to ${number(high)}`);
  }
  function report() {
    put(views[imageOf(cursor)].outline, cursor);
    views.forEach((view, image) => (view.outline.hidden = image !== imageOf(cursor)));
    const value = map[cursor];
    needle.style.left = `${100 * Math.max(0, Math.min(1, (value - range[0]) / (range[1] - range[0])))}%`;
    const many = { cursor: "itself", highest: "the nearest pin", mean: "the pins, on average" };
    const to = many[choice] ?? `pin ${choice + 1}`;
    const text = `${described(cursor)}: similarity ${number(value)} to ${to}`;
    readout.textContent = choice === "cursor" ? `${described(cursor)}: the maps show the similarity to it` : text;
    if (announce) {
      const found = views.map((view, image) => view.found && `${data.images[image].name} ${view.found}`);
      live.textContent = [text, ...found.filter(Boolean)].join("; ");
      announce = false;
    }
  }

  // Pins

  const usual = () => (pins.length > 1 ? "highest" : pins.length ? pins[0].slot : "cursor");
  const focusChoice = () => choices.querySelector("input:checked").focus();
  function choose(next) {
    choice = next;
    choices.replaceChildren(make("span", {}, "Maps show the similarity to:"));
    const options = [["cursor", "the cursor"]];
    for (const pin of pins) options.push([pin.slot, `pin ${pin.slot + 1}`]);
    if (pins.length > 1) options.push(["highest", "the nearest pin"], ["mean", "all pins, their mean"]);
    for (const [value, text] of options) {
      const radio = make("input", { type: "radio", name: "shown", checked: value === choice });
      radio.addEventListener("change", () => (choose(value), focusChoice()));
      const chip = make("span", { className: "chip" }, make("label", {}, radio, text));
      if (typeof value === "number") {
        const dot = make("span", { className: "dot" });
        dot.style.background = PIN_COLOURS[value];
        const drop = make("button", { type: "button", textContent: "×", "aria-label": `Remove pin ${value + 1}` });
        drop.addEventListener("click", () => (unpin(pins.find((pin) => pin.slot === value)), focusChoice()));
        chip.firstChild.append(dot);
        chip.append(drop);
      }
      choices.append(chip);
    }
    clear.disabled = !pins.length;
    ask();
  }
  function pinned(words) {
    live.textContent = words;
    onpins(pins.map((pin) => positionOf(pin.patch)).map(({ image, row, column }) => [image, row, column]));
  }
  function unpin(pin) {
    pin.mark.remove();
    pins = pins.filter((other) => other !== pin);
    const stays = choice === "cursor" || pins.some(({ slot }) => slot === choice) || (all() && pins.length > 1);
    choose(stays ? choice : usual());
    pinned(`Pin ${pin.slot + 1} removed`);
  }
  function toggle(patch) {
    const there = pins.find((pin) => pin.patch === patch);
    if (there) return unpin(there);
    const slot = PIN_COLOURS.findIndex((_, index) => !pins.some((pin) => pin.slot === index));
    const full = `${PIN_COLOURS.length} pins are the most; remove one first`;
    if (slot < 0) return void (live.textContent = readout.textContent = full);
    const mark = make("div", { className: "mark pin" }, make("b", {}, `${slot + 1}`));
    mark.style.borderColor = PIN_COLOURS[slot];
    pins.push({ slot, patch, mark, map: similarities(data, patch, new Float32Array(data.count)) });
    put(mark, patch);
    choose(choice === "mean" ? choice : usual());
    pinned(`Pin ${slot + 1} at ${described(patch)}`);
  }
  function clearPins() {
    for (const pin of pins) pin.mark.remove();
    const had = pins.length;
    pins = [];
    choose("cursor");
    if (had) pinned("Pins cleared");
  }

  // Input: mouse, touch, keys

  function listen(stage, image) {
    const pointed = (event) => {
      [where, moved] = [[event.clientX, event.clientY, image], true];
      ask();
    };
    stage.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary || event.button) return;
      dragged = false;
      touch = { x: event.clientX, y: event.clientY, exploring: event.pointerType !== "touch" };
      if (event.pointerType === "touch") {
        const mine = touch;
        mine.timer = setTimeout(() => (mine.exploring = dragged = true), HOLD);
      }
      pointed(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (!event.isPrimary) return;
      const [x, y] = touch ? [Math.abs(event.clientX - touch.x), Math.abs(event.clientY - touch.y)] : [0, 0];
      if (Math.max(x, y) > SLOP) {
        clearTimeout(touch.timer);
        dragged = true;
        touch.exploring ||= x > y;
      }
      if (!touch || touch.exploring) pointed(event);
    });
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
      stage.addEventListener(end, () => (clearTimeout(touch?.timer), (touch = null)));
    }
    const stay = (event) => touch?.exploring && event.cancelable && event.preventDefault();
    stage.addEventListener("touchmove", stay, { passive: false });
    stage.addEventListener("contextmenu", (event) => touch && event.preventDefault());
    stage.addEventListener("click", (event) => {
      if (dragged) return;
      // By a screen reader where detail is 0; a click's own coordinates are rounded, and may fall on the next patch.
      const patch = event.detail ? patchIn(image, where[0], where[1]) : cursor;
      if (patch >= 0) toggle((cursor = patch));
    });
    stage.addEventListener("focus", () => {
      if (touch || imageOf(cursor) === image) return;
      const { rows, columns } = data.images[image];
      cursor = data.starts[image] + (rows >> 1) * columns + (columns >> 1);
      announce = true;
      ask();
    });
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const { rows, columns } = data.images[image];
      if (ARROWS[event.key]) {
        const step = event.shiftKey ? 5 : 1;
        const position = positionOf(cursor);
        const row = Math.max(0, Math.min(rows - 1, position.row + step * ARROWS[event.key][0]));
        const column = Math.max(0, Math.min(columns - 1, position.column + step * ARROWS[event.key][1]));
        cursor = data.starts[image] + row * columns + column;
        moved = false;
        announce = true;
        ask();
      } else if (event.key === "Enter" || event.key === " ") {
        if (!event.repeat) toggle(cursor);
      } else if (event.key === "Escape" && pins.length) clearPins();
      else return;
      event.preventDefault();
    });
  }

  // A payload is shown, or replaced by another

  function view(image, index) {
    const { rows, columns, name, width, height, box } = image;
    const canvas = make("canvas", { width: columns, height: rows });
    const pixels = new ImageData(columns, rows);
    pixels.data.fill(255);
    const [outline, best] = ["mark", "mark best"].map((className) => make("div", { className, hidden: true }));
    const area = make("div", { className: "box" }, canvas, best, outline);
    area.style.inset = [box[1], 1 - box[2], 1 - box[3], box[0]].map((fraction) => `${100 * fraction}%`).join(" ");
    const stage = make("div", {
      className: "stage", tabIndex: 0, role: "application", "aria-roledescription": "patch grid",
      "aria-label": `${name}: ${rows} by ${columns} patches. Arrow keys move, Enter pins, Escape clears the pins`,
    }, make("img", { src: image.src, alt: "", width, height, draggable: false }), area);
    const caption = make("figcaption");
    const figure = make("figure", {}, stage, caption);
    figure.style.maxWidth = `calc(72vh * ${width / height})`;
    listen(stage, index);
    return { figure, box: area, canvas, pixels, outline, best, caption, found: "" };
  }
  function update(next) {
    clearTimeout(touch?.timer);
    [data, views, pins, moved, touch, shown] = [null, [], [], false, null, ""];
    images.replaceChildren();
    root.hidden = !next;
    if (!next) return;
    try {
      data = decoded(next);
    } catch (error) {
      images.replaceChildren(`These features cannot be shown: ${error.message}`);
      return;
    }
    sheet.replaceSync(data.style);
    map = new Float32Array(data.count);
    views = data.images.map(view);
    const count = views.length;
    images.style.setProperty("--columns", count === 4 ? 2 : Math.min(3, count));
    images.style.setProperty("--narrow", Math.min(2, count));
    images.append(...views.map(({ figure }) => figure));
    const { rows, columns } = data.images[0];
    cursor = (rows >> 1) * columns + (columns >> 1);
    const table = new ImageData(256, 1);
    for (let i = 0; i < 256; i++) table.data.set([...data.table.subarray(3 * i, 3 * i + 3), 255], 4 * i);
    strip.getContext("2d").putImageData(table, 0, 0);
    size.textContent = data.size;
    choose("cursor");
    onpins([]);
  }
  const look = () => {
    root.style.setProperty("--opacity", opacity.value);
    root.classList.toggle("crisp", !smooth.checked);
  };
  opacity.setAttribute("aria-label", "Opacity of the maps");
  opacity.addEventListener("input", look);
  smooth.addEventListener("change", look);
  fitted.addEventListener("change", ask);
  clear.addEventListener("click", clearPins);
  look();
  update(payload);

  return {
    host,
    update,
    destroy() {
      cancelAnimationFrame(frame);
      update(null);
      host.remove();
    },
    /** The current state, for tests and scripts. */
    state: () => ({ cursor: data && positionOf(cursor), choice, range, map, pins: pins.map((pin) => positionOf(pin.patch)) }),
  };
}

function render({ model, el }) {
  const read = () => ({ ...model.get("meta"), features: model.get("features"), scales: model.get("scales") });
  const handle = mount(el, read(), (pins) => (model.set("pins", pins), model.save_changes()));
  const refresh = () => handle.update(read());
  model.on("change:meta", refresh);
  return () => (model.off("change:meta", refresh), handle.destroy());
}

export default { render, mount };
