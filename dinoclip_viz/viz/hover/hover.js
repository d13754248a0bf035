// Hover over a patch and see its cosine similarity to every patch of every picture, computed here from int8 features.
//
// mount(element, payload, onpins) -> {update, destroy, state}; render({model, el}) is what anywidget calls.
// The payload is what payload.py makes. All listeners sit on elements made here: removing the element frees them.

const HOLD = 300; // milliseconds that a finger rests before it explores in every direction
const SLOP = 7; // pixels that a finger or mouse may move and still tap
const PIN_COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff"];
const HELP = "A ring marks each picture's best match. Click or tap pins a patch, again unpins it. On touch: drag "
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

/** The payload with typed arrays, and where each picture's patches begin. */
function decoded(payload) {
  const bytes = bytesOf(payload.features);
  const starts = [0];
  for (const { rows, columns } of payload.pictures) starts.push(starts[starts.length - 1] + rows * columns);
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
  let views = []; // one a picture: its elements
  let cursor = 0; // patch, counted over all pictures
  let pins = []; // {slot, patch, mark, map}, in the order of pinning
  let choice = "cursor"; // what the maps show: or "highest", "mean", a slot
  let [map, range] = [new Float32Array(0), [0, 1]]; // what is shown, and the scale
  let shown = ""; // what the maps were computed for
  let where = [0, 0, 0]; // the pointer's last place: [client x, client y, picture]
  let frame = 0; // the request for the next one
  let [moved, announce] = [false, false]; // since the last frame: by the pointer, to be spoken
  let [touch, dragged] = [null, false]; // a pointer that is down; whether it has moved

  // What is on the screen

  const pictures = make("div", { className: "pictures" });
  const opacity = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.6 });
  const smooth = make("input", { type: "checkbox", checked: true });
  const fitted = make("input", { type: "checkbox" });
  const clear = make("button", { type: "button", textContent: "Clear pins" });
  const choices = make("div", { className: "row", role: "radiogroup", "aria-label": "What the maps show" });
  const strip = make("canvas", { width: 256, height: 1, role: "img" });
  const needle = make("div", { className: "needle" });
  const ticks = make("div", { className: "ticks", "aria-hidden": "true" });
  const said = make("div", { className: "said" });
  const live = make("div", { className: "hidden", "aria-live": "polite", role: "status" });
  const size = make("p", { className: "faint" });
  const bar = make("div", { className: "bar" }, strip, needle, ticks);
  const labels = [[fitted, "fit the scale"], ["opacity", opacity], [smooth, "smooth"]];
  const controls = make("div", { className: "row" }, bar, ...labels.map((pair) => make("label", {}, ...pair)), clear);
  const help = make("p", { className: "faint", textContent: HELP });
  // The choices stand below the pictures, which must not move when a pin comes.
  const root = make("div", { className: "root" }, pictures, said, choices, controls, help, size, live);
  shadow.append(root);
  element.append(host);

  // Patches and places

  const pictureOf = (patch) => views.findLastIndex((_, index) => data.starts[index] <= patch);
  function placeOf(patch) {
    const picture = pictureOf(patch);
    const { columns } = data.pictures[picture];
    const inside = patch - data.starts[picture];
    return { picture, row: Math.floor(inside / columns), column: inside % columns };
  }
  function patchIn(picture, x, y) {
    const { rows, columns } = data.pictures[picture];
    const box = views[picture].box.getBoundingClientRect();
    const column = Math.floor(((x - box.left) / box.width) * columns);
    const row = Math.floor(((y - box.top) / box.height) * rows);
    if (!(column >= 0 && column < columns && row >= 0 && row < rows)) return -1;
    return data.starts[picture] + row * columns + column;
  }
  /** The patch at a point of the window, -1 where there is none; a finger may leave the picture it began on. */
  function patchAt(x, y, first) {
    for (const picture of [first, ...views.keys()]) {
      const patch = patchIn(picture, x, y);
      if (patch >= 0) return patch;
    }
    return -1;
  }
  function put(mark, patch) {
    const { picture, row, column } = placeOf(patch);
    const { rows, columns } = data.pictures[picture];
    mark.style.left = `${((column + 0.5) / columns) * 100}%`;
    mark.style.top = `${((row + 0.5) / rows) * 100}%`;
    mark.style.width = `${100 / columns}%`;
    mark.style.height = `${100 / rows}%`;
    mark.classList.toggle("right", column > 0.8 * columns);
    mark.classList.toggle("top", row < 0.2 * rows);
    mark.hidden = false;
    if (mark.parentNode !== views[picture].box) views[picture].box.append(mark);
  }
  function told(patch) {
    const { picture, row, column } = placeOf(patch);
    return `${data.pictures[picture].name}, row ${row + 1}, column ${column + 1}`;
  }

  // Computing and painting, once a frame

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
  function paint(picture) {
    const { rows, columns, name } = data.pictures[picture];
    const view = views[picture];
    const [low, high] = range;
    const from = data.starts[picture];
    const own = sources();
    const pixels = view.pixels.data;
    let best = -1;
    for (let i = 0; i < rows * columns; i++) {
      const value = map[from + i];
      const share = (value - low) / (high - low);
      const at = 3 * Math.max(0, Math.min(255, Math.floor(share * 256)));
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = data.table[at + c];
      if ((best < 0 || value > map[best]) && !own.includes(from + i)) best = from + i;
    }
    view.canvas.getContext("2d").putImageData(view.pixels, 0, 0);
    view.best.hidden = best < 0;
    if (best >= 0) put(view.best, best);
    view.found = best < 0 ? "" : `best match ${number(map[best])}`;
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
      views.forEach((_, picture) => paint(picture));
      label();
    }
    tell();
    host.dispatchEvent(new CustomEvent("hover-frame", { detail: { milliseconds: performance.now() - begun, anew } }));
  }
  const ask = () => (frame ||= requestAnimationFrame(draw));
  function label() {
    const [low, high] = range;
    const shares = [0, 0.5, 1];
    const marks = shares.map((share) => make("span", {}, number(low + share * (high - low))));
    if (!fitted.checked) marks[0].prepend("≤ ");
    marks.forEach(({ style }, at) => {
      style.left = `${100 * shares[at]}%`;
      style.translate = `${-50 * at}%`;
    });
    ticks.replaceChildren(...marks);
    strip.setAttribute("aria-label", `Colours of cosine similarity from ${number(low)} to ${number(high)}`);
  }
  function tell() {
    put(views[pictureOf(cursor)].outline, cursor);
    views.forEach((view, picture) => (view.outline.hidden = picture !== pictureOf(cursor)));
    const value = map[cursor];
    needle.style.left = `${100 * Math.max(0, Math.min(1, (value - range[0]) / (range[1] - range[0])))}%`;
    const many = { cursor: "itself", highest: "the closest pin", mean: "the pins, on average" };
    const to = many[choice] ?? `pin ${choice + 1}`;
    const text = `${told(cursor)}: similarity ${number(value)} to ${to}`;
    said.textContent = choice === "cursor" ? `${told(cursor)}: the maps show the similarity to it` : text;
    if (announce) {
      const found = views.map((view, picture) => view.found && `${data.pictures[picture].name} ${view.found}`);
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
    if (pins.length > 1) options.push(["highest", "the closest pin"], ["mean", "all pins, their mean"]);
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
    onpins(pins.map((pin) => placeOf(pin.patch)).map(({ picture, row, column }) => [picture, row, column]));
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
    if (slot < 0) return void (live.textContent = said.textContent = full);
    const mark = make("div", { className: "mark pin" }, make("b", {}, `${slot + 1}`));
    mark.style.borderColor = PIN_COLOURS[slot];
    pins.push({ slot, patch, mark, map: similarities(data, patch, new Float32Array(data.count)) });
    put(mark, patch);
    choose(choice === "mean" ? choice : usual());
    pinned(`Pin ${slot + 1} at ${told(patch)}`);
  }
  function clearPins() {
    for (const pin of pins) pin.mark.remove();
    const had = pins.length;
    pins = [];
    choose("cursor");
    if (had) pinned("Pins cleared");
  }

  // Hands: mouse, finger, keys

  function listen(stage, picture) {
    const pointed = (event) => {
      [where, moved] = [[event.clientX, event.clientY, picture], true];
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
      const patch = event.detail ? patchIn(picture, where[0], where[1]) : cursor;
      if (patch >= 0) toggle((cursor = patch));
    });
    stage.addEventListener("focus", () => {
      if (touch || pictureOf(cursor) === picture) return;
      const { rows, columns } = data.pictures[picture];
      cursor = data.starts[picture] + (rows >> 1) * columns + (columns >> 1);
      announce = true;
      ask();
    });
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const { rows, columns } = data.pictures[picture];
      if (ARROWS[event.key]) {
        const step = event.shiftKey ? 5 : 1;
        const place = placeOf(cursor);
        const row = Math.max(0, Math.min(rows - 1, place.row + step * ARROWS[event.key][0]));
        const column = Math.max(0, Math.min(columns - 1, place.column + step * ARROWS[event.key][1]));
        cursor = data.starts[picture] + row * columns + column;
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

  // A payload comes, another takes its place

  function view(picture, index) {
    const { rows, columns, name, width, height, box } = picture;
    const canvas = make("canvas", { width: columns, height: rows });
    const pixels = new ImageData(columns, rows);
    pixels.data.fill(255);
    const [outline, best] = ["mark", "mark best"].map((className) => make("div", { className, hidden: true }));
    const area = make("div", { className: "box" }, canvas, best, outline);
    area.style.inset = [box[1], 1 - box[2], 1 - box[3], box[0]].map((share) => `${100 * share}%`).join(" ");
    const stage = make("div", {
      className: "stage", tabIndex: 0, role: "application", "aria-roledescription": "patch grid",
      "aria-label": `${name}: ${rows} by ${columns} patches. Arrow keys move, Enter pins, Escape clears the pins`,
    }, make("img", { src: picture.src, alt: "", width, height, draggable: false }), area);
    const caption = make("figcaption");
    const figure = make("figure", {}, stage, caption);
    figure.style.maxWidth = `calc(72vh * ${width / height})`;
    listen(stage, index);
    return { figure, box: area, canvas, pixels, outline, best, caption, found: "" };
  }
  function update(next) {
    clearTimeout(touch?.timer);
    [data, views, pins, moved, touch, shown] = [null, [], [], false, null, ""];
    pictures.replaceChildren();
    root.hidden = !next;
    if (!next) return;
    try {
      data = decoded(next);
    } catch (error) {
      pictures.replaceChildren(`These features cannot be shown: ${error.message}`);
      return;
    }
    sheet.replaceSync(data.style);
    map = new Float32Array(data.count);
    views = data.pictures.map(view);
    const count = views.length;
    pictures.style.setProperty("--columns", count === 4 ? 2 : Math.min(3, count));
    pictures.style.setProperty("--narrow", Math.min(2, count));
    pictures.append(...views.map(({ figure }) => figure));
    const { rows, columns } = data.pictures[0];
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
    /** What is shown, for tests and scripts. */
    state: () => ({ cursor: data && placeOf(cursor), choice, range, map, pins: pins.map((pin) => placeOf(pin.patch)) }),
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
