"""Domains: the scenes of the playground drawn, lit or seen differently, to test models outside of their training."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from dinoclip_viz.playground.layout import Layout, Thing
from dinoclip_viz.playground.render import GroundTruth
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.textures import pattern

Pixels = NDArray[np.float32]

FAINT = (0.65, 0.9)
"""Strength of the colours under the lines of an outline drawing."""
DIM = (0.25, 0.5)
"""Brightness of the colours of a silhouette."""
LAMP = (0.3, 0.45)
"""Brightness at night, away from the lamp."""
SIGHT = (5.0, 8.0)
"""Distances in metres at which fog hides two thirds of the light."""
GRAIN = (30.0, 50.0)
"""Standard deviation of noise, of 255."""
BARS = (0.16, 0.24)
"""Width of the bars of occlusion, as a fraction of their distance."""
ODD = 0.3
"""Fraction of the unusual colours."""
SHRUNK = 0.29
"""Size of tiny objects."""


@dataclass(frozen=True)
class Rendered:
    """A rendered scene.

    Attributes:
        pixels: (side, side, 3) float32, 0 to 255.
        pieces: (2 side, 2 side) uint8 piece numbers, 0 background.
        known: its ground truth.
    """

    pixels: Pixels
    pieces: NDArray[np.uint8]
    known: GroundTruth


@dataclass(frozen=True)
class Domain:
    """How a domain changes a scene.

    Attributes:
        about: what it looks like.
        rendered: the change after rendering.
        layout: the change before.
    """

    about: str
    rendered: Callable[[Rendered, Chance], Rendered] | None = None
    layout: Callable[[Layout], Layout] | None = None


def changed(
    image: Image.Image, pieces: NDArray[np.uint8], known: GroundTruth, domain: str, generator: np.random.Generator
) -> tuple[Image.Image, GroundTruth]:
    """A rendered scene and its ground truth in a domain.

    Args:
        image, pieces: from `render`.
        known: ground truth of the scene.
        domain: one of `DOMAINS`.
        generator: of random numbers.
    """
    rendered = DOMAINS[domain].rendered
    if rendered is None:
        return image, known
    after = rendered(Rendered(np.asarray(image, np.float32), pieces, known), Chance(generator))
    return Image.fromarray(np.clip(after.pixels, 0, 255).astype(np.uint8)), after.known


def _repainted(rendered: Rendered, pixels: NDArray[np.floating]) -> Rendered:
    return replace(rendered, pixels=np.asarray(pixels, np.float32))


def _borders(pieces: NDArray[np.uint8], width: int) -> Pixels:
    """(side, side) fraction of each pixel that is border between pieces, 0 to 1."""
    edge = np.zeros(pieces.shape, bool)
    edge[1:] |= pieces[1:] != pieces[:-1]
    edge[:, 1:] |= pieces[:, 1:] != pieces[:, :-1]
    drawn = Image.fromarray((edge * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(width))
    covered: Pixels = np.asarray(drawn.reduce(2), np.float32) / np.float32(255)
    return covered


def _outline(rendered: Rendered, chance: Chance) -> Rendered:
    side = len(rendered.pixels)
    width = max(3, 2 * (side // 64) + 1)
    ink = _borders(rendered.pieces, width)[..., None]
    faint = 255 - (255 - rendered.pixels) * chance(*FAINT)
    return _repainted(rendered, faint * (1 - ink) + np.full(3, chance(0, 60)) * ink)


def _silhouette(rendered: Rendered, chance: Chance) -> Rendered:
    shape = (rendered.known.mask > 0)[..., None]
    dark = rendered.pixels * chance(*DIM) + np.array([chance(0, 25) for _ in range(3)])
    pale = 255 - (255 - rendered.pixels) * 0.6
    return _repainted(rendered, np.where(shape, dark, pale))


def _night(rendered: Rendered, chance: Chance) -> Rendered:
    side = len(rendered.pixels)
    rows, columns = np.mgrid[0:side, 0:side] / side
    glow = np.exp(-((rows - chance(0.3, 0.9)) ** 2 + (columns - chance(0.1, 0.9)) ** 2) / 0.12)[..., None]
    light = chance(*LAMP) * (1 + 1.2 * glow * np.array([1.0, 0.85, 0.6]))
    noise = _noise(rendered.pixels.shape, chance) * 4
    return _repainted(rendered, rendered.pixels * light * np.array([0.8, 0.85, 1.1]) + noise)


def _fog(rendered: Rendered, chance: Chance) -> Rendered:
    haze = 1 - np.exp(-(rendered.known.depth[..., None] + 1.0) / chance(*SIGHT))
    grey = np.array([chance(190, 215)] * 3)
    return _repainted(rendered, rendered.pixels * (1 - haze) + grey * haze)


def _noisy(rendered: Rendered, chance: Chance) -> Rendered:
    noisy = rendered.pixels + _noise(rendered.pixels.shape, chance) * chance(*GRAIN)
    stored = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(stored, "JPEG", quality=12)
    return _repainted(rendered, np.asarray(Image.open(stored), np.float32))


def _noise(shape: tuple[int, ...], chance: Chance) -> Pixels:
    return np.random.default_rng(chance.below(2**31)).standard_normal(shape, np.float32)


def _blurred(rendered: Rendered, chance: Chance) -> Rendered:
    image = Image.fromarray(rendered.pixels.astype(np.uint8))
    radius = len(rendered.pixels) * chance(0.022, 0.034)
    return _repainted(rendered, np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32))


def _occluded(rendered: Rendered, chance: Chance) -> Rendered:
    """Bars and blots over a quarter of the image; what they hide has no ground truth."""
    side = len(rendered.pixels)
    canvas = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(canvas)
    turned, count = chance() < 0.5, 4
    offset = chance(0, 1 / count)
    for index in range(count + 1):
        start = (index / count + offset - 0.1) * side
        stop = start + side / count * chance(*BARS)
        draw.rectangle((0, start, side, stop) if turned else (start, 0, stop, side), fill=255)
    for _ in range(3):
        x, y, reach = chance(0, side), chance(0, side), side * chance(0.06, 0.12)
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
    hidden = np.asarray(canvas) > 0
    pixels = np.where(hidden[..., None], np.array([chance(20, 235) for _ in range(3)]), rendered.pixels)
    known = rendered.known
    mask, parts, instances = (
        np.where(hidden, 0, values).astype(np.uint8) for values in (known.mask, known.parts, known.instances)
    )
    depth = np.where(hidden, np.float32(1.0), known.depth)
    return replace(rendered, pixels=pixels.astype(np.float32), known=GroundTruth(mask, parts, instances, depth))


def _unusual(rendered: Rendered, chance: Chance) -> Rendered:
    """Every piece in a random colour, with strong stripes, dots or checks over each object."""
    side = len(rendered.pixels)
    paints = np.array([[chance(0, 255) for _ in range(3)] for _ in range(256)])
    coats = ("stripes", "bands", "diagonals", "slashes", "dots", "specks", "checks", "squares")
    instances = rendered.known.instances
    light = np.zeros((side, side), np.float32)
    for number in np.unique(instances[instances > 0]):
        coat = pattern(coats[chance.below(len(coats))], side)
        light = np.where(instances == number, coat * chance(20, 38), light)
    seen = rendered.pieces[1::2, 1::2]
    objects = paints[seen] * ODD + rendered.pixels * (1 - ODD) + light[..., None]
    around = rendered.pixels * (1 - ODD) + paints[0] * ODD + pattern("checks", side)[..., None] * 12
    return _repainted(rendered, np.where((instances > 0)[..., None], objects, around))


def _shrunk(layout: Layout, factor: float = SHRUNK) -> Layout:
    """The layout with every object smaller around its centre."""

    def smaller(thing: Thing) -> Thing:
        centre = np.array([thing.x, thing.y])
        pieces = tuple(piece._replace(points=(piece.points - centre) * factor + centre) for piece in thing.pieces)
        return replace(thing, scale=thing.scale * factor, pieces=pieces)

    return replace(layout, things=tuple(smaller(thing) for thing in layout.things))


DOMAINS: dict[str, Domain] = {
    "outline": Domain("dark lines over pale colours", _outline),
    "silhouette": Domain("dark shapes on a pale background", _silhouette),
    "night": Domain("dim light with one lamp, and noise", _night),
    "fog": Domain("haze that grows with depth", _fog),
    "noise": Domain("heavy noise and JPEG compression", _noisy),
    "blur": Domain("out of focus", _blurred),
    "occlusion": Domain("a quarter of the image behind bars and blots", _occluded),
    "tiny": Domain("objects of less than half their size", layout=_shrunk),
    "unusual": Domain("random colours and strong patterns", _unusual),
}
"""Name -> domain."""
