"""The endpoints as tools of an MCP server: Gradio's, with results as JSON and figures as images."""

from __future__ import annotations

import base64
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils
from gradio_client.utils import is_file_obj_with_meta, traverse

EXTRA = 'pip install "dinoclip-viz[mcp]"'
PATH = "/gradio_api/mcp/"
MOST_IMAGES = 4
"""Number of figures that an answer holds itself; the others are addresses in its JSON."""


def check_installed() -> None:
    """Nothing, if the MCP package is installed.

    Raises:
        ValueError: it is not.
    """
    if importlib.util.find_spec("mcp") is None:
        raise ValueError(f"the package mcp is not installed; the MCP server needs the extra mcp: {EXTRA}")


def answer_in_json(demo: gr.Blocks) -> None:
    """Let the tools of a launched app answer in JSON with the addresses of files, followed by their figures.

    Gradio's own answer is Python's notation of the result, which other languages cannot read.

    Raises:
        ValueError: the MCP server could not be started.
    """
    server = demo.mcp_server_obj
    if server is None:
        raise ValueError(f"the MCP server cannot be started ({demo.mcp_error}); expected the extra mcp: {EXTRA}")

    def contents(data: list[Any], root: str) -> list[Any]:
        known = processing_utils.add_root_url(data, root, None)
        (result,) = traverse(known, lambda file: file["url"], is_file_obj_with_meta)
        text = server.types.TextContent(type="text", text=json.dumps(result, ensure_ascii=False))
        figures = [path for path in _figures(known) if path.is_file()][:MOST_IMAGES]
        encoded = [base64.b64encode(path.read_bytes()).decode() for path in figures]
        return [text, *(server.types.ImageContent(type="image", data=each, mimeType="image/png") for each in encoded)]

    server.postprocess_output_data = contents


def _figures(value: Any) -> Iterator[Path]:
    """The paths of all figures in a result."""
    if is_file_obj_with_meta(value):
        if value["path"].endswith(".png"):
            yield Path(value["path"])
        return
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _figures(part)
