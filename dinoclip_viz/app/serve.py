"""Serving the page: style, limits and address."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from dinoclip_viz.app.api import gate, tools
from dinoclip_viz.app.handlers.memory import keep_memory_flat

CSS = """
.image-input img { width: 100% !important; height: 100% !important; object-fit: contain; }
.results .image-container, .results .grid-wrap, .image-input .image-container { padding-top: 34px; }
.images-input .grid-wrap { padding-top: 34px; }
#pca-result .grid-wrap, #heatmap-result .grid-wrap, #search-result .grid-wrap, #tokens-result .grid-wrap,
#probes-result .grid-wrap, #neighbours-result .grid-wrap, #affordances-result .grid-wrap,
:is(#explore-selected, #explore-duplicates, #explore-outliers) .grid-wrap {
  max-height: none !important; overflow: visible !important;
}
:is(#heatmap-result, #tokens-result, #affordances-result) .grid-wrap .caption-label { display: none; }
#pca-result .caption-label { max-width: 100%; }
#probes-result .grid-container .caption-label { inset: 0 auto auto 0; max-width: 100%; }
#probes-result .grid-container .thumbnail-item img { box-sizing: border-box; padding-top: 30px; }
:is(#search-result, #neighbours-result) .grid-container .thumbnail-item { aspect-ratio: 5 / 7; }
:is(#search-result, #neighbours-result) .grid-container .thumbnail-item img {
  height: 100%; box-sizing: border-box; padding-bottom: 40%; object-fit: contain;
}
:is(#search-result, #neighbours-result) .grid-container .caption-label {
  inset: 71.5% 0 auto 0; max-width: 100%; border: 0; padding: 2px 6px 0; line-height: 1.25; text-align: left;
  white-space: normal; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden;
}
.chips { display: flex; flex-wrap: wrap; gap: 6px; }
.chips span { border-radius: 999px; padding: 1px 10px; font-size: 13px; max-width: 100%; overflow-wrap: anywhere; }
.chips .quiet { border: 1px dashed #8a8a93; }
.figures { overflow-x: auto; }
.figures thead, .figures tbody, .figures tr { border: 0 !important; }
.figures table { border: 0 !important; border-collapse: collapse; font-size: 13px; white-space: nowrap; }
.figures th, .figures td {
  padding: 3px 14px 3px 0 !important; text-align: right; border: 0 !important;
  border-bottom: 1px solid var(--border-color-primary) !important;
}
.figures th:first-child, .figures td:first-child { text-align: left; }
.figures p { font-size: 12px; opacity: .8; margin: 4px 0 0; }
.regions { display: grid !important; grid-template-columns: 1fr 1fr; align-items: start; }
.results .region .image-container { padding-top: 0; margin-top: 34px; }
#neighbours-result .grid-container .thumbnail-item { aspect-ratio: 6 / 7; }
#neighbours-result .grid-container .thumbnail-item img { padding-bottom: 16.7%; }
#neighbours-result .grid-container .caption-label { inset: 87% 0 auto 0; }
.notice:empty, .notice:has(.prose:empty) { display: none; }
.block.notice { border-left: 4px solid var(--color-accent); padding-left: 12px; }
#status { opacity: .85; }
.chooser button { align-self: end; }
@media (max-width: 700px) {
  .regions { grid-template-columns: 1fr !important; }
  .halves, .chooser { flex-direction: column !important; }
  .halves > *, .chooser > * { min-width: 0 !important; width: 100% !important; }
  :is(#heatmap-result, #affordances-result) .grid-container { grid-template-columns: 1fr !important; }
  #search-result .grid-container, #neighbours-result .grid-container { grid-template-columns: 1fr 1fr !important; }
  #probes-result .grid-container, #tokens-result .grid-container { grid-template-columns: 1fr !important; }
  #pca-result .caption-label { font-size: 9px; padding: 1px 3px; }
}
"""

HEAD = """<style>
.gradio-container { max-width: 1360px !important; width: 100% !important; margin: 0 auto !important; }
.gradio-container > .main { width: 100% !important; }
@media (max-width: 700px) {
  .gradio-container { width: 100vw !important; min-width: 0 !important; max-width: 100vw !important; }
  .gradio-container > .main, .gradio-container main { min-width: 0 !important; max-width: 100% !important; }
  .gradio-container > .main { padding: 12px !important; }
  button[role="tab"] { padding: 0 7px !important; font-size: 13px !important; }
}
</style>"""
"""Rules for the whole page: Gradio puts its own prefix before those in CSS."""


def launch_settings(mcp: bool = False) -> dict[str, Any]:
    """Arguments of `Blocks.launch` other than the address: style, limits and the routes that answer.

    No resource is fetched from elsewhere.

    Args:
        mcp: whether the MCP server is on.
    """
    return {
        "theme": gr.themes.Base(
            primary_hue="indigo",
            neutral_hue="slate",
            font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
            font_mono=["ui-monospace", "Consolas", "monospace"],
        ),
        "css": CSS,
        "head": HEAD,
        "max_file_size": "20mb",
        "allowed_paths": [],
        "run_history": False,
        "enable_monitoring": False,
        "mcp_server": mcp,
        "app_kwargs": {"middleware": gate.middleware(mcp), "openapi_url": None},
        "footer_links": ["api", "settings"],
        "ssr_mode": False,
        "share": False,
    }


def launch(
    demo: gr.Blocks,
    host: str = "127.0.0.1",
    port: int | None = None,
    wait: bool = True,
    quiet: bool = False,
    mcp: bool = False,
) -> str:
    """Serve the page; the address is returned once it is closed, or at once.

    Args:
        demo: the page, from `build_demo`.
        host: address to serve on; the default is reached from this machine alone.
        port: port to serve on; None for the first free one from 7860.
        wait: whether to block until the page is closed.
        quiet: whether Gradio prints no start messages.
        mcp: whether the endpoints are also tools of an MCP server, at /gradio_api/mcp/.

    Raises:
        ValueError: the MCP server needs a package that is not installed.
    """
    if mcp:
        tools.check_installed()
    keep_memory_flat()
    _, address, _ = demo.launch(
        server_name=host, server_port=port, prevent_thread_lock=True, quiet=quiet, **launch_settings(mcp)
    )
    if mcp:
        tools.answer_in_json(demo)
    if wait and not getattr(sys, "ps1", sys.flags.interactive):  # an interactive Python stays usable
        with _stopped_by_sigterm():
            demo.block_thread()
    return str(address)


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """The process ends as by `sys.exit` when a service manager stops it, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
