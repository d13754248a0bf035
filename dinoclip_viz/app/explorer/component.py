"""The map as a component of the page: its script, its data as files, and the selection as an event."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from dinoclip_viz.app.handlers.files import ServedFiles
from dinoclip_viz.viz.scatter import library_code, scatter_code, scatter_style

MOUNT = '<div class="explore-mount"></div>'
STYLE = ".explore-mount { --dvs-height: 560px; }\n"
WAIT = 80
"""Milliseconds that the pointer rests on a point before its image is asked for."""
SHOW = """
const target = element.querySelector(".explore-mount");
const config = window.gradio_config ?? {};
const address = (path) => `${config.root ?? ""}${config.api_prefix ?? ""}/file=${encodeURI(path)}`;
const library = () => window.Plotly ? Promise.resolve() : (window.plotlyLoads ??= new Promise((done, failed) => {
  const script = Object.assign(document.createElement("script"), { src: address(props.library), onload: done });
  script.onerror = () => failed(new Error("the plotting library cannot be loaded"));
  document.head.append(script);
}));
let [handle, last, store, rest] = [null, "", "", 0];
let asked = null; // the row whose image was asked for last, and what to do with the answer
const cards = new Map(); // answers by row
const mask = (rows) => {
  const bytes = new Uint8Array(Math.ceil(handle.state().data.count / 8));
  for (const row of rows) bytes[row >> 3] |= 1 << (row & 7);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
const options = {
  onselect: (rows) => trigger("select", { store, mask: rows ? mask(rows) : "" }),
  card: (row) => new Promise((done) => {
    clearTimeout(rest);
    if (cards.has(row)) return done(cards.get(row));
    rest = setTimeout(() => {
      asked = { row, done };
      trigger("point", { store, row });
    }, WAIT);
  }),
};
window.addEventListener("explore-card", ({ detail }) => {
  if (detail.store !== store) return;
  cards.set(detail.row, detail);
  if (asked?.row === detail.row) asked.done(detail);
});
const show = async () => {
  const path = props.value || "";
  if (path === last) return;
  last = path;
  if (!path) {
    handle?.update(null);
    return;
  }
  await library();
  const given = await (await fetch(address(path))).json();
  if (last !== path) return; // another one was drawn meanwhile
  handle ??= scatter.mount(target, null, options);
  store = given.store;
  cards.clear();
  handle.update(given.map);
};
watch("value", show);
show();
"""
"""Runs when the tab is shown. The value is the path of a file from `written`."""
ANSWER = """
watch("value", () => {
  if (props.value) window.dispatchEvent(new CustomEvent("explore-card", { detail: JSON.parse(props.value) }));
});
"""


def build_map(files: ServedFiles) -> tuple[gr.HTML, gr.HTML]:
    """The component of the map, and a hidden one whose value, the JSON of a card, it shows next to a point.

    Its event "select" carries the token of a store and a selection, its event "point" the token and a row.

    Args:
        files: where the library is written, to be loaded when the tab is first shown.
    """
    shown = gr.HTML(
        "",
        label="Embedding map",
        html_template=MOUNT,
        css_template=STYLE + scatter_style(),
        js_on_load=scatter_code() + SHOW.replace("WAIT", str(WAIT)),
        apply_default_css=False,
        elem_id="explore-result",
        library=_library(files),
    )
    answer = gr.HTML("", html_template="<span></span>", js_on_load=ANSWER, visible="hidden", elem_id="explore-card")
    return shown, answer


def written(files: ServedFiles, token: str, payload: str) -> str:
    """Path of a file with a map.

    Args:
        files: where it is written.
        token: of the store, as from `Atlas.token`.
        payload: as from `scatter_payload`.
    """
    text = f'{{"store":{json.dumps(token)},"map":{payload}}}'
    path = files.folder / f"map-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    return str(path) if files.still([path]) else files.write(path, _saving(text))


def _library(files: ServedFiles) -> str:
    return files.write(files.folder / "plotly.min.js", _saving(library_code()), pinned=True)


def _saving(text: str) -> Callable[[Path], object]:
    return lambda aside: aside.write_text(text, encoding="utf-8")
