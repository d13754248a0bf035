"""The tab of correspondences: matching positions in two images; a click shows the position in the other image."""

from __future__ import annotations

import functools
from itertools import count as count_from
from typing import Any

import gradio as gr
import torch
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.encoders import DINO, encoder_of, source_input
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered, served
from dinoclip_viz.app.images import GivenImage, image_input, read, shown
from dinoclip_viz.app.notice import NoticeArea, notice
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.resolution import OWN, at_resolution, build_resolution, build_switch, sharp_map
from dinoclip_viz.app.scenes import FIRST_SCENES, Scenes
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.playground.world import sample
from dinoclip_viz.tasks.correspondence.match import COUNT, encoded, match_features
from dinoclip_viz.tasks.correspondence.transfer import point_similarity, transfer

FIRST, SECOND = 0, 1
FIRST_SEED = FIRST_SCENES["match"]
"""Seed of the first scene; the other one shows an object of the same class."""
MOST_MATCHES, MOST_DIRECTIONS = 100, 40
LOW, HIGH = 0.0, 1.0
COLOURS = "magma"
CLICKED = (255, 70, 70)
HEIGHT = 512
LEAST_LEGEND = 96
NOTE = "colour: position in the first image, hue from left to right, lightness from top to bottom"

Drawings = tuple[Image.Image, Image.Image]


def answer(
    bench: Workbench,
    key: str,
    first: str | None,
    second: str | None,
    count: int = COUNT,
    foreground: bool = True,
    source: str = DINO,
    patches: int = OWN,
    tiles: bool = False,
    debias: int = 0,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[Image.Image, Image.Image, Image.Image, str, str, str]:
    """Both images with their points, the matches as lines, a summary, the digests of the images, and a notice.

    Raises:
        ValueError: an image is missing or invalid, or the model has no encoder of this kind.
    """
    images = [read(first), read(second)]
    progress(0.1, desc="encoding")
    a, b = features_of(bench, key, images, source, patches, tiles, debias)
    progress(0.7, desc="matching")
    found = match_features(a, b, int(count), bool(foreground))
    colours = viz.place_colours(found.a)
    marked = [
        viz.mark_points(large, points.numpy() * (large.width / image.image.width), colours)
        for image, large, points in zip(images, map(_shown, images), (found.a, found.b), strict=True)
    ]
    joined = viz.match_image(
        images[0].image, images[1].image, found.a, found.b, ("first image", "second image"), HEIGHT, NOTE
    )
    summary = found.shortfall or f"{len(found)} matches."
    if len(found):
        summary += f" Cosine similarities from {found.similarity[0].item():.2f} to {found.similarity[-1].item():.2f}."
    summary += " **Click a position in either image to find it in the other.**"
    return marked[0], marked[1], joined, summary, digests_of(images), notice(bench.model(key), bench.scenes, images)


def clicked(
    bench: Workbench,
    key: str,
    first: str | None,
    second: str | None,
    source: str,
    patches: int,
    tiles: bool,
    debias: int,
    showing: str,
    side: int,
    position: object,
    as_patches: bool = False,
) -> tuple[Image.Image, Image.Image, str]:
    """Both images, with the clicked position in one, and its correspondence and similarity map in the other.

    Args:
        bench: the workbench; key: of the model.
        first, second: current files of the images.
        source: encoder of the patches; patches: along the longer side; tiles: whether images are encoded in tiles.
        debias: number of position directions to remove, 0 for none.
        showing: digests of the displayed images, from `answer`.
        side: the clicked image, `FIRST` or `SECOND`.
        position: column and row of the pixel in the displayed image.
        as_patches: whether the map is interpolated between patches, without the edges of the image.

    Raises:
        ValueError: an image is missing, the displayed images are others, or the position is outside the image.
    """
    images = [read(first), read(second)]
    if showing != digests_of(images):
        raise ValueError("these are not the images that were matched; press “Match” first, then click")
    x, y = position_in(images[side], position)
    features = features_of(bench, key, images, source, patches, tiles, debias)
    here, there = features[side], features[1 - side]
    similarity = point_similarity(here, there, [(x, y)])[0]  # (H, W)
    goal = transfer(here, there, [(x, y)])[0].tolist()
    clicked_image = _marked(_shown(images[side]), images[side], (x, y))
    target = _shown(images[1 - side])
    values = similarity if as_patches else sharp_map(similarity[..., None], images[1 - side])[..., 0]
    warm = viz.heat_overlay(target, values.numpy(), LOW, HIGH, colours=COLOURS)
    warm = _marked(warm, images[1 - side], (goal[0], goal[1]))
    if warm.width >= LEAST_LEGEND:
        bar = viz.scale_bar(LOW, HIGH, COLOURS, "cosine similarity to the clicked position", warm.width)
        warm = viz.with_legend(warm, bar)
    names = ("first", "second") if side == FIRST else ("second", "first")
    summary = (
        f"({x:.0f}, {y:.0f}) px in the {names[0]} image corresponds to ({goal[0]:.0f}, {goal[1]:.0f}) px in the "
        f"{names[1]}; highest cosine similarity {similarity.max().item():.2f}."
    )
    return (clicked_image, warm, summary) if side == FIRST else (warm, clicked_image, summary)


def features_of(
    bench: Workbench, key: str, images: list[GivenImage], source: str, patches: int, tiles: bool, debias: int
) -> tuple[ImageFeatures, ImageFeatures]:
    """Features of both images, computed once; without position where `debias` is above 0."""
    encoder = encoder_of(bench.model(key), source)
    a, b = (at_resolution(bench, encoder, image, patches, tiles) for image in images)
    return encoded(encoder, a, b, debias=int(debias) or None)


def position_in(image: GivenImage, position: object) -> tuple[float, float]:
    """X and y in the image's own pixels of a pixel of the displayed image.

    Raises:
        ValueError: the position is no pair of numbers, or outside the image, as on the legend below it.
    """
    numbers = isinstance(position, list | tuple) and all(isinstance(one, int | float) for one in position)
    if not isinstance(position, list | tuple) or len(position) != 2 or not numbers:
        raise ValueError("this click has no position in an image; click inside one of the two images")
    large = _shown(image)
    x, y = ((one + 0.5) * image.image.width / large.width for one in position)
    if not (0 <= x <= image.image.width and 0 <= y <= image.image.height):
        raise ValueError("this click is outside the image; click inside one of the two images")
    return x, y


def digests_of(images: list[GivenImage]) -> str:
    """The digests of the images, as one string."""
    return " ".join(image.digest for image in images)


def draw_two(drawn: Scenes, last: int) -> tuple[int, Image.Image, Image.Image]:
    """The last seed used, and the next two scenes with one object of the same class, or the next two photographs."""
    if drawn.words:
        return last + 2, drawn.draw(last + 1), drawn.draw(last + 2)
    alone: dict[str, int] = {}
    for seed in count_from(last + 1):
        things = sample(seed, 0)[0].things
        if len(things) != 1:
            continue
        before = alone.setdefault(things[0].name, seed)
        if before != seed:
            break
    return seed, drawn.draw(before), drawn.draw(seed)


def _shown(image: GivenImage) -> Image.Image:
    return shown(image.image)


def _marked(large: Image.Image, image: GivenImage, position: tuple[float, float]) -> Image.Image:
    factor = large.width / image.image.width
    points = torch.tensor([position]).numpy() * factor
    return viz.mark_points(large, points, [CLICKED], radius=max(large.size) / 70)


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "Mutual nearest neighbours among the patches of two images, by cosine similarity. Click a position in one "
        "image to find it in the other."
    )
    last, *begin = draw_two(bench.scenes, FIRST_SEED - 1)

    def encoders(model: str, source: str) -> list[ImageEncoder]:
        return [encoder_of(bench.model(model), source)]

    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            first = image_input(bench.files, "First image", begin[0], "match-a")
            second = image_input(bench.files, "Second image", begin[1], "match-b")
            draw = gr.Button(f"New {bench.scenes.noun}s", size="sm")
            foreground = gr.Checkbox(True, label="Foreground only", info="By PCA, fitted on both images.")
            count = gr.Slider(1, MOST_MATCHES, COUNT, step=1, label="Number of matches")
            with gr.Accordion("Patches, resolution and position", open=False):
                source = source_input(bench, bench.first_key)
                fine = build_resolution(bench, key, first, encoders, lambda path: [read(path)], [source])
                debias = gr.Slider(
                    0, MOST_DIRECTIONS, 0, step=1, label="Position directions to remove", info="0: none."
                )
            as_patches = build_switch("match-patches")
            run = gr.Button("Match", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            area = NoticeArea(bench)
            note = area.note
            summary = gr.Markdown(elem_id="match-summary")
            still: dict[str, Any] = {"format": "png", "interactive": False, "buttons": ["download", "fullscreen"]}
            with gr.Row(elem_classes=["pair"]):
                one = gr.Image(label="First image", alt_text="First image", elem_id="match-first", **still)
                other = gr.Image(label="Second image", alt_text="Second image", elem_id="match-second", **still)
            joined = gr.Image(
                label="Matches", alt_text="Matches as lines between both images", elem_id="match-result", **still
            )
    showing = gr.Textbox("", visible="hidden", label="showing")  # held by the browser: digests of its images
    inputs = [key, first, second, count, foreground, source, *fine.inputs, debias]
    outputs = [one, other, joined, summary, showing, note]
    handler = remembered(bench, "match", functools.partial(answer, bench), inputs)
    run.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    changes = [first.upload, second.upload, count.release, foreground.input, source.input]
    gr.on([*changes, debias.release], handler, inputs, outputs, **AGAIN)

    ask = functools.partial(clicked, bench)

    def on_first(
        key: str,
        a: str,
        b: str,
        source: str,
        patches: int,
        tiles: bool,
        debias: int,
        showing: str,
        plain: bool,
        event: gr.SelectData,
    ) -> tuple[Image.Image, Image.Image, str]:
        return ask(key, a, b, source, patches, tiles, debias, showing, FIRST, event.index, plain)

    def on_second(
        key: str,
        a: str,
        b: str,
        source: str,
        patches: int,
        tiles: bool,
        debias: int,
        showing: str,
        plain: bool,
        event: gr.SelectData,
    ) -> tuple[Image.Image, Image.Image, str]:
        return ask(key, a, b, source, patches, tiles, debias, showing, SECOND, event.index, plain)

    of_click = [key, first, second, source, *fine.inputs, debias, showing, as_patches]
    quick = {**AGAIN, "show_progress": "hidden"}  # nothing, not even the overlay of an error, may block the next click
    one.select(served(bench, on_first), of_click, [one, other, summary], **quick)
    other.select(served(bench, on_second), of_click, [one, other, summary], **quick)
    draw_next(bench, draw, last, functools.partial(draw_two, bench.scenes), [first, second], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, first, changed=(source,), refresh=source_input, area=area)
