"""Endpoints on patch features: `pca`, `match` and `similarity`."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

from dinoclip_viz import viz
from dinoclip_viz.app.api import results
from dinoclip_viz.app.api.inputs import (
    Given,
    ImageInput,
    choice_of,
    count_of,
    flag_of,
    image_of,
    images_of,
    key_of_model,
    number_of,
)
from dinoclip_viz.app.api.labels import FORMATS, NPY, PNG
from dinoclip_viz.app.correspondence.match import HEIGHT, MOST_MATCHES, NOTE
from dinoclip_viz.app.encoders import DINO, encoder_of
from dinoclip_viz.app.images import SHOWN, shown
from dinoclip_viz.app.notice import notice
from dinoclip_viz.app.resolution import at_resolution
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.tasks.correspondence.match import match_features
from dinoclip_viz.tasks.correspondence.transfer import point_similarity, transfer
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA

COLOURS = "magma"
LOW, HIGH = 0.0, 1.0
MARK = (255, 70, 70)


def pca(
    bench: Workbench, images: list[ImageInput], hide: bool = False, format: str = "png", model: str = ""
) -> results.Colours:
    """Colours the patches of images by the first three principal components of their DINO features.

    The colours are fitted on all images jointly: similar colours mean similar features, also between images.

    Args:
        images: 1 to 12 images, each an uploaded file, or a text: a data URI or an http(s) address.
        hide: Whether the background is grey in the figures.
        format: "png" for a figure per image, or "npy" for float32 colours of shape (H, W, 3) per image, one per patch.
        model: A name that the endpoint models lists; empty is the page's own.

    Returns:
        images: fraction of foreground and figure or array of each; explained_variance of each component; model; notice.
    """
    grey, kind = flag_of(hide, "hide"), choice_of(format, "format", FORMATS)
    key, given = key_of_model(bench, model), images_of(bench, images)
    chosen = bench.model(key)
    encoder = encoder_of(chosen, DINO)
    features = [at_resolution(bench, encoder, one.image) for one in given]
    basis = PatchPCA(3).fit(features)
    colours = [one[0].numpy() for one in basis.transform(features)]
    fronts = [one[0].numpy() for one in basis.foreground(features)]
    rows: list[results.ImageColours] = []
    for colour, front in zip(colours, fronts, strict=True):
        mask = front if grey else None
        figure = viz.pca_image(colour, SHOWN, foreground=mask) if kind == PNG else None
        array = colour if kind == NPY else None
        rows.append({"foreground": float(front.mean()), "figure": figure, "array": array})
    return {
        "explained_variance": basis.explained_variance_.tolist(),
        "images": rows,
        "model": encoder.name,
        "notice": notice(chosen, bench.scenes, [one.image for one in given]),
    }


def match(
    bench: Workbench,
    first: ImageInput,
    second: ImageInput,
    count: int = 20,
    foreground: bool = True,
    model: str = "",
) -> results.Matches:
    """Finds positions of two images that correspond: mutual nearest neighbours among their DINO patches.

    For example, two photographs of cats give pairs from ear to ear and from paw to paw.

    Args:
        first: An image: an uploaded file, or a text: a data URI or an http(s) address.
        second: The other image, in the same forms.
        count: Number of matches, 1 to 100; there may be fewer.
        foreground: Whether only the foreground is matched, which PCA separates on both images.
        model: A name that the endpoint models lists; empty is the page's own.

    Returns:
        matches: [x, y] in pixels of the first and of the second image and similarity, best first; figure; shortfall.
    """
    number, front = count_of(count, "count", MOST_MATCHES), flag_of(foreground, "foreground")
    key = key_of_model(bench, model)
    given = [image_of(bench, first, "first"), image_of(bench, second, "second")]
    chosen, encoder, (a, b) = _encoded(bench, key, given)
    found = match_features(a, b, number, front)
    starts, ends = (found.a * given[0].scale).tolist(), (found.b * given[1].scale).tolist()
    pairs: list[results.Match] = [
        {"first": start, "second": end, "similarity": similarity}
        for start, end, similarity in zip(starts, ends, found.similarity.tolist(), strict=True)
    ]
    one, other = (each.image.image for each in given)
    figure = viz.match_image(one, other, found.a, found.b, ("first image", "second image"), HEIGHT, NOTE)
    return {
        "matches": pairs,
        "shortfall": found.shortfall,
        "figure": figure,
        "model": encoder.name,
        "notice": notice(chosen, bench.scenes, [each.image for each in given]),
    }


def similarity(
    bench: Workbench,
    image: ImageInput,
    x: float,
    y: float,
    other: ImageInput = "",
    format: str = "png",
    model: str = "",
) -> results.Similarity:
    """Compares the DINO patch at a position of an image with every patch of another image, or of the same one.

    For example, the position of an ear in one photograph of a cat gives that of the ear in another one.

    Args:
        image: An image: an uploaded file, or a text: a data URI or an http(s) address.
        x: Pixels from the left of the image, 0 to its width.
        y: Pixels from the top of the image, 0 to its height.
        other: The image to compare with, in the same forms; empty is the same image.
        format: "png" for a figure of the other image, or "npy" for the float32 cosines of its patches, (H, W).
        model: A name that the endpoint models lists; empty is the page's own.

    Returns:
        position: [x, y] in pixels of the other image that corresponds; highest cosine; figure or array; model; notice.
    """
    kind, key = choice_of(format, "format", FORMATS), key_of_model(bench, model)
    here = image_of(bench, image)
    point = [number_of(x, "x", 0, here.size[0]) / here.scale, number_of(y, "y", 0, here.size[1]) / here.scale]
    there = image_of(bench, other, "other") if other else here
    chosen, encoder, (a, b) = _encoded(bench, key, [here, there])
    values = point_similarity(a, b, [point])[0]  # (H, W)
    goal = transfer(a, b, [point])[0]
    return {
        "position": (goal * there.scale).tolist(),
        "highest": values.max().item(),
        "figure": _figure(there, values, goal) if kind == PNG else None,
        "array": values.numpy() if kind == NPY else None,
        "model": encoder.name,
        "notice": notice(chosen, bench.scenes, [here.image, there.image]),
    }


def _encoded(
    bench: Workbench, key: str, given: list[Given]
) -> tuple[ImageTextModel, ImageEncoder, list[ImageFeatures]]:
    """The model, its DINO, and the features of each image."""
    chosen = bench.model(key)
    encoder = encoder_of(chosen, DINO)
    return chosen, encoder, [at_resolution(bench, encoder, one.image) for one in given]


def _figure(there: Given, values: Tensor, goal: Tensor) -> Image.Image:
    """The cosines over the image, with the corresponding position marked."""
    large = shown(there.image.image)
    warm = viz.heat_overlay(large, values, LOW, HIGH, colours=COLOURS)
    factor = large.width / there.image.image.width
    warm = viz.mark_points(warm, goal[None] * factor, [MARK], radius=max(large.size) / 70)
    bar = viz.scale_bar(LOW, HIGH, COLOURS, "cosine similarity to the position", max(large.width, 320))
    return viz.with_legend(warm, bar)
