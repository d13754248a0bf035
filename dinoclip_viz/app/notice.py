"""The notice on photographs that meet the playground models, and its button that loads models for photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import gradio as gr

from dinoclip_viz.app.events import HELPER, MODEL_RUN, one_line_errors
from dinoclip_viz.app.images import GivenImage
from dinoclip_viz.app.scenes import Scenes
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders import recommended
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.catalog import find, on_disk
from dinoclip_viz.encoders.hub import OFFLINE
from dinoclip_viz.models import ImageTextModel

NOTICE = "*The playground models were trained on synthetic scenes only, so results on photographs are unreliable.*"
MODEL, GUIDE = recommended.IMAGES_AND_TEXTS, recommended.IMAGES
STAY = "the playground models stay loaded"
POLL = 0.3
"""Seconds between two looks at a running download."""


def notice(model: ImageTextModel, scenes: Scenes, images: Sequence[GivenImage]) -> str:
    """`NOTICE` where a playground model is applied to another image than a synthetic scene; "" elsewhere."""
    photograph = any(image not in scenes for image in images)
    return NOTICE if photograph and model.images.space.startswith("playground") else ""


def offer() -> str:
    """The button's label: the models, the size of their download and their licences."""
    titles = " and ".join(recommended.TITLES[name] for name in (GUIDE, MODEL))
    here = all(on_disk(find(name)) for name in (GUIDE, MODEL))
    size = "on disk" if here else f"download: {recommended.download_size(GUIDE, MODEL)}"
    return f"Load {titles} ({size}; licences: {recommended.licences(GUIDE, MODEL)})"


class NoticeArea:
    """The notice of a tab, with the button that stands below it while it shows `NOTICE`.

    Attributes:
        note: the Markdown that handlers fill.
        button: loads the recommended models; None where the page does not offer them.
    """

    def __init__(self, bench: Workbench) -> None:
        self.note = gr.Markdown(elem_classes=["notice"])
        self.button: gr.Button | None = None
        if not {MODEL, GUIDE} <= {*bench.model_names(), *bench.guide_names()}:
            return
        self.button = gr.Button(offer(), size="sm", variant="primary", visible=False, elem_classes=["load-models"])
        self.note.change(_visible, self.note, self.button, show_progress="hidden", **HELPER)


def load_recommended(load: Callable[[str, str], tuple[str, str]], progress: gr.Progress) -> tuple[str, str, str, str]:
    """Name of the model, name of its guide, key and description of the recommended models, downloaded if needed.

    Args:
        load: name, guide -> key and description of the loaded model.
        progress: shows the downloaded fraction.

    Raises:
        EncoderError: the models cannot be downloaded or loaded; the loaded model does not change.
    """
    expected = sum(find(name).parameters for name in (GUIDE, MODEL)) * 4e6  # float32
    try:
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(load, MODEL, GUIDE)
            while not loading.done():
                bytes_here = downloaded_bytes()
                progress(min(bytes_here / expected, 0.99), desc=f"downloading, {bytes_here / 1e6:.0f} MB")
                wait([loading], POLL)
            key, description = loading.result()
    except EncoderError as error:
        reason = str(error).removesuffix(f"; {OFFLINE}").replace(" and the Hugging Face hub cannot be reached", "")
        absent = isinstance(error.__cause__, OSError) and "not on this disk" in reason
        unreachable = "huggingface.co cannot be reached: " if absent else ""
        raise EncoderError(f"{unreachable}{reason}; {STAY}") from error
    return MODEL, GUIDE, key, description


def downloaded_bytes() -> int:
    """Bytes of the recommended models in the hub's cache, unfinished files included."""
    from huggingface_hub import constants

    repositories = [str(find(name).weights).replace("/", "--") for name in (GUIDE, MODEL)]
    folders = [Path(constants.HF_HUB_CACHE) / f"models--{name}" / "blobs" for name in repositories]
    total = 0
    for path in (path for folder in folders for path in folder.glob("*")):
        try:
            total += path.stat().st_size
        except OSError:  # renamed meanwhile: it is complete
            continue
    return total


def tie(areas: Sequence[NoticeArea], load: Callable[[str, str], tuple[str, str]], outputs: list[Any]) -> Any:
    """The event of all areas' buttons, which loads the recommended models; None where no area has a button.

    Args:
        areas: of all tabs.
        load: as in `load_recommended`.
        outputs: the choices of model and guide, the key and the description.
    """

    def run(progress: gr.Progress = gr.Progress()) -> tuple[str, str, str, str]:  # noqa: B008
        return load_recommended(load, progress)

    buttons = [area.button for area in areas if area.button is not None]
    if not buttons:
        return None
    return gr.on(
        [button.click for button in buttons],
        one_line_errors(run),
        None,
        outputs,
        show_progress_on=[area.note for area in areas],
        **MODEL_RUN,
        **HELPER,
    )


def _visible(text: str | None) -> Any:
    return gr.update(visible=NOTICE in (text or ""))
