"""Files that requests name by an address: fetched within the limits of `load_image`, for every input of the app."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
import gradio as gr
from gradio import processing_utils
from gradio_client.utils import is_http_url_like, strip_invalid_filename_characters

from dinoclip_viz.app.api.inputs import SERVED
from dinoclip_viz.app.images import MOST_IMAGES
from dinoclip_viz.images import download

SECONDS, LEAST = 10.0, 0.5
"""Seconds for all addresses in the images' arguments of a request, and those that the last of them has in any case."""


def bound_downloads() -> None:
    """Let Gradio fetch addresses in requests by `fetched`. Its own function reads an answer of any size into memory."""
    processing_utils.async_ssrf_protected_download = fetched


def brought(value: Any, folder: str, end: float) -> Any:
    """The value of an image's argument with its file here: a text that is an address is fetched, others stay.

    Args:
        value: an image's argument, or a list of them.
        folder: of uploads.
        end: time, of `monotonic`, until which servers are waited for.

    Raises:
        ImageError: an address cannot be fetched within the limits.
    """
    if isinstance(value, list):
        return [brought(one, folder, end) for one in value[:MOST_IMAGES]] + value[MOST_IMAGES:]
    text = value.strip() if isinstance(value, str) else ""
    if not is_http_url_like(text) or SERVED in text:
        return value
    return {"path": _written(download(text, seconds=max(end - monotonic(), LEAST)), text, folder)}


async def fetched(url: str, cache_dir: str) -> str:
    """Path of a file with the bytes at an address: at most 20 MB, within seconds, from the public internet alone.

    Args:
        url: http(s) address.
        cache_dir: folder of uploads.

    Raises:
        gr.Error: it cannot be fetched, in one line.
    """
    try:
        data = await anyio.to_thread.run_sync(download, url)
    except ValueError as error:
        raise gr.Error(" ".join(str(error).split()), print_exception=False, title="Error") from error
    return await anyio.to_thread.run_sync(_written, data, url, cache_dir)


def _written(data: bytes, url: str, cache_dir: str) -> str:
    name = strip_invalid_filename_characters(Path(urlsplit(url).path).name) or "file"
    folder = Path(cache_dir) / hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{secrets.token_hex(8)}-{name}"
    aside.write_bytes(data)
    return str(aside.replace(folder / name))
