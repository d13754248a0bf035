"""The match tab: the places of two images that belong together; click one and see the other."""

from __future__ import annotations

import functools
from itertools import count as count_from
from typing import Any

import gradio as gr
import torch
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.encoders import DINO, encoder_of, whose_input
from dinoclip_viz.app.events import AGAIN, MODEL_RUN, draw_next, told
from dinoclip_viz.app.images import Drawn, GivenImage, image_input, notice, read, shown
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.resolution import OWN, at_resolution, build_resolution
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.playground.world import sample
from dinoclip_viz.tasks.correspondence.match import COUNT, encoded, match_features, point_similarity, transfer

FIRST, SECOND = 0, 1
BEFORE = 1094
"""Drawing begins after this seed: two dogs come first."""
MOST_MATCHES, MOST_DIRECTIONS = 100, 40
LOW, HIGH = 0.0, 1.0
COLOURS = "magma"
CLICKED = (255, 70, 70)
HEIGHT = 512
LEAST_LEGEND = 96
NOTE = "one colour, one place: hue from left to right, lightness from top to bottom of the first image"

Drawings = tuple[Image.Image, Image.Image]


def answer(
    bench: Workbench,
    key: str,
    first: str | None,
    second: str | None,
    count: int = COUNT,
    foreground: bool = True,
    whose: str = DINO,
    patches: int = OWN,
    tiles: bool = False,
    debias: int = 0,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[Image.Image, Image.Image, Image.Image, str, str, str]:
    """Both images with their points, the matches as lines, what was found, which images it is of, and a notice.

    Raises:
        ValueError: an image that cannot be used, or a model without the encoder that was asked for.
    """
    images = [read(first), read(second)]
    progress(0.1, desc="encoding")
    a, b = features_of(bench, key, images, whose, patches, tiles, debias)
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
    said = found.shortfall or f"{len(found)} matches."
    if len(found):
        said += f" Cosines from {found.similarity[0].item():.2f} to {found.similarity[-1].item():.2f}."
    said += " **Click a place in either image to find it in the other.**"
    return marked[0], marked[1], joined, said, names_of(images), notice(bench.model(key), bench.drawn, images)


def clicked(
    bench: Workbench,
    key: str,
    first: str | None,
    second: str | None,
    whose: str,
    patches: int,
    tiles: bool,
    debias: int,
    showing: str,
    side: int,
    place: object,
) -> tuple[Image.Image, Image.Image, str]:
    """Both images, the clicked one with its place, the other with where that is and how alike all else is.

    Args:
        bench: the workbench; key: of the model.
        first, second: the files of the images as they are now.
        whose: patches; patches: along the longer side; tiles: whether images are encoded in tiles.
        debias: directions of position to take out, 0 for none.
        showing: what `answer` said which images were drawn.
        side: which image was clicked, `FIRST` or `SECOND`.
        place: column and row of the pixel in the image as it is shown.

    Raises:
        ValueError: no image yet, other images than those that are shown, or a place outside the image.
    """
    images = [read(first), read(second)]
    if showing != names_of(images):
        raise ValueError("these are not the images that were matched: press “Match” first, then click")
    x, y = place_in(images[side], place)
    features = features_of(bench, key, images, whose, patches, tiles, debias)
    here, there = features[side], features[1 - side]
    similarity = point_similarity(here, there, [(x, y)])[0]  # (H, W)
    goal = transfer(here, there, [(x, y)])[0].tolist()
    source, target = _shown(images[side]), _shown(images[1 - side])
    source = _marked(source, images[side], (x, y))
    warm = viz.heat_overlay(target, similarity.numpy(), LOW, HIGH, colours=COLOURS)
    warm = _marked(warm, images[1 - side], (goal[0], goal[1]))
    if warm.width >= LEAST_LEGEND:
        bar = viz.scale_bar(LOW, HIGH, COLOURS, "cosine with the clicked place", warm.width)
        warm = viz.with_legend(warm, bar)
    names = ("first", "second") if side == FIRST else ("second", "first")
    said = (
        f"({x:.0f}, {y:.0f}) in the {names[0]} image is ({goal[0]:.0f}, {goal[1]:.0f}) in the {names[1]}, in pixels; "
        f"highest cosine {similarity.max().item():.2f}."
    )
    return (source, warm, said) if side == FIRST else (warm, source, said)


def features_of(
    bench: Workbench, key: str, images: list[GivenImage], whose: str, patches: int, tiles: bool, debias: int
) -> tuple[ImageFeatures, ImageFeatures]:
    """Features of both images, computed once; position is taken out of them where it is asked for."""
    encoder = encoder_of(bench.model(key), whose)
    a, b = (at_resolution(bench, key, encoder, image, patches, tiles) for image in images)
    return encoded(encoder, a, b, debias=int(debias) or None)


def place_in(image: GivenImage, place: object) -> tuple[float, float]:
    """X and y in the image's own pixels of a pixel of the image as it is shown.

    Raises:
        ValueError: the place is none, or outside the image, as on the legend below it.
    """
    if not isinstance(place, list | tuple) or len(place) != 2 or not all(isinstance(one, int | float) for one in place):
        raise ValueError("this click has no place in an image; click inside one of the two images")
    large = _shown(image)
    x, y = ((one + 0.5) * image.image.width / large.width for one in place)
    if not (0 <= x <= image.image.width and 0 <= y <= image.image.height):
        raise ValueError("this click is outside the image; click inside one of the two images")
    return x, y


def names_of(images: list[GivenImage]) -> str:
    """What stands for the images that are shown."""
    return " ".join(image.digest for image in images)


def draw_two(drawn: Drawn, last: int) -> tuple[int, Image.Image, Image.Image]:
    """The last seed used, and the next two scenes that show one object each, of the same class."""
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


def _marked(large: Image.Image, image: GivenImage, place: tuple[float, float]) -> Image.Image:
    factor = large.width / image.image.width
    points = torch.tensor([place]).numpy() * factor
    return viz.mark_points(large, points, [CLICKED], radius=max(large.size) / 70)


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "### Which place is which?\nPatches of two images that are each other's nearest by cosine, spread over the "
        "object. Click a place in the one to find it in the other."
    )
    last, *begin = draw_two(bench.drawn, BEFORE)

    def encoders(model: str, whose: str) -> list[ImageEncoder]:
        return [encoder_of(bench.model(model), whose)]

    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            first = image_input("First image", begin[0], "match-a")
            second = image_input("Second image", begin[1], "match-b")
            draw = gr.Button("Draw others", size="sm")
            foreground = gr.Checkbox(True, label="The foreground alone", info="Found by a PCA fitted on both images.")
            count = gr.Slider(1, MOST_MATCHES, COUNT, step=1, label="Best matches")
            with gr.Accordion("Patches, resolution and position", open=False):
                whose = whose_input(bench, bench.first_key)
                fine = build_resolution(bench, key, first, encoders, lambda path: [read(path)], [whose])
                debias = gr.Slider(
                    0, MOST_DIRECTIONS, 0, step=1, label="Directions of position to take out", info="0 takes out none."
                )
            run = gr.Button("Match", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            note = gr.Markdown(elem_classes=["notice"])
            said = gr.Markdown(elem_id="match-said")
            still: dict[str, Any] = {"format": "png", "interactive": False, "buttons": ["download", "fullscreen"]}
            with gr.Row(elem_classes=["pair"]):
                one = gr.Image(label="First image", alt_text="First image", elem_id="match-first", **still)
                other = gr.Image(label="Second image", alt_text="Second image", elem_id="match-second", **still)
            joined = gr.Image(
                label="Matches", alt_text="Matches as lines between both images", elem_id="match-result", **still
            )
    showing = gr.Textbox("", visible="hidden", label="showing")  # held by the browser: what its images are of
    inputs = [key, first, second, count, foreground, whose, *fine.inputs, debias]
    outputs = [one, other, joined, said, showing, note]
    handler = told(functools.partial(answer, bench))
    run.click(handler, inputs, outputs, api_name="match", **MODEL_RUN)
    changes = [first.upload, second.upload, count.release, foreground.input, whose.input]
    gr.on([*changes, debias.release], handler, inputs, outputs, **AGAIN)

    ask = functools.partial(clicked, bench)

    def on_first(
        key: str, a: str, b: str, whose: str, patches: int, tiles: bool, debias: int, showing: str, event: gr.SelectData
    ) -> tuple[Image.Image, Image.Image, str]:
        return ask(key, a, b, whose, patches, tiles, debias, showing, FIRST, event.index)

    def on_second(
        key: str, a: str, b: str, whose: str, patches: int, tiles: bool, debias: int, showing: str, event: gr.SelectData
    ) -> tuple[Image.Image, Image.Image, str]:
        return ask(key, a, b, whose, patches, tiles, debias, showing, SECOND, event.index)

    asked = [key, first, second, whose, *fine.inputs, debias, showing]
    quick = {**AGAIN, "show_progress": "hidden"}  # nothing, not even an error's veil, may keep the next click off
    one.select(told(on_first), asked, [one, other, said], **quick)
    other.select(told(on_second), asked, [one, other, said], **quick)
    draw_next(draw, last, functools.partial(draw_two, bench.drawn), [first, second], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, first, changed=(whose,), refresh=whose_input)
