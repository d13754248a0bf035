"""Further views of the PCA tab: segments, a basis from a file, and the foreground from a few clicks."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz import viz
from dinoclip_viz.app.events import HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import served
from dinoclip_viz.app.images import GivenImage, read_all, shown
from dinoclip_viz.app.resolution import OWN, Resolution, at_resolution, sharp_labels
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.tasks.pca.foreground import clicked_foreground
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA
from dinoclip_viz.tasks.pca.segments import kmeans_segments, spectral_segments

COMPONENTS, KMEANS, SPECTRAL = "components", "k-means segments", "spectral segments"
VIEWS = [COMPONENTS, KMEANS, SPECTRAL]
OBJECT, BACKGROUND = "the object", "the background"
OPACITY = 0.75
MARKS = {True: (0, 158, 115), False: (213, 94, 0)}
"""Colour of a click on the object, and of one on the background."""
MOST_CLICKS = 50

Click = tuple[float, float, bool]
"""x and y as fractions of the image's sides, and whether it is on the object."""


def segment_maps(
    view: str,
    count: int,
    columns: Sequence[Sequence[ImageFeatures]],
    images: Sequence[GivenImage],
    as_patches: bool = False,
) -> list[list[Image.Image]]:
    """The segments of each image, column by column, with common numbers in all images of a column.

    Raises:
        ValueError: there are too many patches, or fewer than segments.
    """
    segment = kmeans_segments if view == KMEANS else spectral_segments
    palette = viz.class_palette(count)

    def numbers(labels: Tensor, image: GivenImage) -> NDArray[np.int64]:
        found: NDArray[np.int64] = (labels if as_patches else sharp_labels(labels, image)).numpy()
        return found

    return [
        [
            viz.mask_overlay(shown(image.image), numbers(labels[0], image) + 1, palette, OPACITY)
            for image, labels in zip(images, segment(list(features), count), strict=True)
        ]
        for features in columns
    ]


def segments_legend(count: int) -> Image.Image:
    """The colour of each segment."""
    return viz.class_legend([f"segment {index + 1}" for index in range(count)], viz.class_palette(count))


def save_bases(bench: Workbench, home: Path, basis: str | None) -> list[str]:
    """Files to download: the basis of each column, named after its encoder.

    Args:
        bench: the workbench.
        home: folder for the files.
        basis: id of the bases.

    Raises:
        ValueError: there is no basis yet.
    """
    fitted = bench.bases.get(basis)
    if not fitted:
        raise ValueError("there is no basis yet; press “Compute PCA” first")
    folder = Path(tempfile.mkdtemp(dir=home))
    paths = []
    for each in fitted:
        name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in each.space_)
        paths.append(str(folder / f"{name}.safetensors"))
        each.save(paths[-1])
    return paths


def load_basis(
    bench: Workbench, encoders_of: Callable[[str], Sequence[tuple[str, ImageEncoder]]], key: str, path: str | None
) -> tuple[str | None, bool, str]:
    """The id of a basis from a file, whether it is kept, and a line about it.

    Args:
        bench: the workbench.
        encoders_of: key -> title and encoder of each column; key: of the model.
        path: of the file; None where it was removed.

    Raises:
        ValueError: the file is no basis of three components for one of the encoders.
    """
    if not path:
        return None, False, ""
    try:
        pca = PatchPCA.load(path)
    except ValueError as error:
        raise ValueError(
            f"{Path(path).name} is no basis; expected a file saved by this page or by PatchPCA.save"
        ) from error
    if pca.components != 3:
        raise ValueError(f"{Path(path).name} has {pca.components} components; expected 3")
    spaces = {encoder.patch_space: title for title, encoder in encoders_of(key)}
    if pca.space_ not in spaces:
        raise ValueError(
            f"{Path(path).name} is a basis of {pca.space_}; expected {' or '.join(spaces)}; load that model"
        )
    return bench.bases.put([pca]), True, f"Colours of {spaces[pca.space_]} are those of {Path(path).name}."


def clicked(
    bench: Workbench,
    encoder_of: Callable[[str], ImageEncoder],
    key: str,
    items: Sequence[tuple[str, str | None]] | None,
    number: float,
    clicks: Sequence[Click],
    patches: int = OWN,
    tiles: bool = False,
) -> tuple[Image.Image, list[tuple[Image.Image, str]], str]:
    """The clicked image with its clicks, the foreground in each image, and a line of instructions.

    Args:
        bench: the workbench.
        encoder_of: key -> the encoder of the patches.
        key: of the model.
        items: the gallery's images.
        number: of the clicked image, from 1.
        clicks: so far.
        patches: along the longer side, 0 for the encoder's own; tiles: whether the image is encoded in tiles.

    Raises:
        ValueError: an image is invalid, no image has the number, or a patch was clicked as object and background.
    """
    images = read_all(items)
    index = round(number) - 1
    if not 0 <= index < len(images):
        raise ValueError(f"found no image {round(number)}; expected 1 to {len(images)}")
    chosen = images[index].image
    large = shown(chosen)
    marked = viz.mark_points(
        large,
        np.array([(x * large.width, y * large.height) for x, y, _ in clicks]).reshape(-1, 2),
        np.array([MARKS[side] for _, _, side in clicks], np.uint8).reshape(-1, 3),
    ) if clicks else large  # fmt: skip
    sides = [
        [(x * chosen.width, y * chosen.height) for x, y, side in clicks if side == wanted] for wanted in (True, False)
    ]
    missing = [name for name, points in ((OBJECT, sides[0]), (BACKGROUND, sides[1])) if not points]
    if missing:
        return marked, [], f"Click {' and '.join(missing)} in the image, at least once."
    encoder = encoder_of(key)
    features = [at_resolution(bench, encoder, image, patches, tiles) for image in images]
    head = clicked_foreground(features[index], sides[0], sides[1])
    found, fractions = [], []
    for position, (image, part) in enumerate(zip(images, features, strict=True)):
        mask = head.mask(part)[0].numpy()
        fractions.append(f"{mask.mean():.0%}")
        overlay = viz.mask_overlay(shown(image.image), mask.astype(np.int64), [MARKS[True]], OPACITY)
        found.append((overlay, f"image {position + 1}"))
    return marked, found, f"{len(clicks)} clicks; foreground {', '.join(fractions)} of the patches."


def with_click(clicks: Sequence[Click], position: Sequence[float], extent: tuple[int, int], side: str) -> list[Click]:
    """The clicks with one more.

    Args:
        clicks: so far.
        position: x and y in pixels of the displayed image; extent: its width and height.
        side: `OBJECT` or `BACKGROUND`.

    Raises:
        ValueError: the position is outside the image, or there are too many clicks.
    """
    x, y = float(position[0]) / extent[0], float(position[1]) / extent[1]
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"({position[0]:g}, {position[1]:g}) is outside the image; click inside it")
    if len(clicks) >= MOST_CLICKS:
        raise ValueError(f"found {len(clicks)} clicks, the maximum; press “Clear clicks” to start again")
    return [*clicks, (x, y, side == OBJECT)]


def build_files(bench: Workbench, key: gr.State, basis: gr.State, keep: gr.Checkbox, encoders_of: Any) -> Any:
    """The buttons that save and load a basis; the event after a basis was loaded is returned."""
    with gr.Accordion("Save and load the PCA basis", open=False):
        gr.Markdown("A saved basis gives the same colours on this page, in Python and on the command line.")
        save = gr.Button("Save basis", size="sm")
        saved = gr.File(label="Saved bases", file_count="multiple", interactive=False, visible=False)
        given = gr.File(label="Load a basis", file_types=[".safetensors"], height=120, elem_id="pca-basis")
        status = gr.Markdown()

    def files(kept: str | None) -> Any:
        return gr.update(value=bench.files.adopted(save_bases(bench, bench.files.folder, kept)), visible=True)

    save.click(served(bench, files, False), basis, saved, **HELPER)
    loader = served(bench, functools.partial(load_basis, bench, encoders_of))
    return given.upload(loader, [key, given], [basis, keep, status], **MODEL_RUN, **HELPER)


def build_clicks(bench: Workbench, key: gr.State, images: gr.Gallery, fine: Resolution, encoder_of: Any) -> None:
    """The section for the foreground of all images from clicks on one of them."""
    with gr.Accordion("Foreground from clicks", open=False, elem_classes=["clicks"]):
        gr.Markdown(
            "Click the object and the background at least once each. Logistic regression on the clicked patches then "
            "segments the object in all images, as DINOv3's foreground segmentation."
        )
        with gr.Row():
            number = gr.Number(1, label="Image", minimum=1, precision=0, min_width=100)
            side = gr.Radio([OBJECT, BACKGROUND], value=OBJECT, label="The next click is on")
        with gr.Row():
            begin = gr.Button("Show image", size="sm")
            clear = gr.Button("Clear clicks", size="sm")
        image = gr.Image(
            label="Click here",
            alt_text="The image to click in",
            interactive=False,
            format="png",
            elem_id="pca-clicks", buttons=["fullscreen"],
        )  # fmt: skip
        status = gr.Markdown()
        found = gr.Gallery(
            label="Foreground of each image", columns=3, height="auto", object_fit="contain", format="png",
            interactive=False,
        )  # fmt: skip
    clicks = gr.State([])
    extent = gr.State((1, 1))
    handler = functools.partial(clicked, bench, encoder_of)

    def redraw(
        model: str, items: Any, which: float, made: list[Click], patches: int, tiles: bool
    ) -> tuple[Image.Image, list[tuple[Image.Image, str]], str, list[Click], tuple[int, int]]:
        marked, masks, line = handler(model, items, which, made, patches, tiles)
        return marked, masks, line, made, marked.size

    def add(
        model: str,
        items: Any,
        which: float,
        made: list[Click],
        patches: int,
        tiles: bool,
        on: str,
        seen: Any,
        event: gr.SelectData,
    ) -> tuple[Image.Image, list[tuple[Image.Image, str]], str, list[Click], tuple[int, int]]:  # fmt: skip
        return redraw(model, items, which, with_click(made, event.index, (seen[0], seen[1]), on), patches, tiles)

    def afresh(model: str, items: Any, which: float, patches: int, tiles: bool) -> Any:
        return redraw(model, items, which, [], patches, tiles)

    outputs = [image, found, status, clicks, extent]
    quick = {**MODEL_RUN, **HELPER, "show_progress": "hidden"}
    gr.on(
        [begin.click, clear.click, number.change],
        served(bench, afresh),
        [key, images, number, *fine.inputs],
        outputs,
        **quick,
    )
    image.select(served(bench, add), [key, images, number, clicks, *fine.inputs, side, extent], outputs, **quick)
