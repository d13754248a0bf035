"""Rendering: one map of piece numbers per scene; colour, class, part, instance and depth are look-ups in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dinoclip_viz.playground.layout import FAR, Layout, Look, depth_at
from dinoclip_viz.playground.photographs import brightness, photograph
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.textures import COATS, pattern
from dinoclip_viz.playground.vocabulary import CLASSES, COLOURS, PARTS

CLASS_NUMBER = {name: index + 1 for index, name in enumerate(CLASSES)}
PART_NUMBER = {name: index + 1 for index, name in enumerate(PARTS)}

Colour = NDArray[np.float32]

FIXED_PAINTS: dict[str, tuple[int, int, int]] = {
    "black": (30, 30, 35),
    "white": (242, 242, 242),
    "yellow": (245, 215, 70),
    "orange": (240, 150, 40),
    "glass": (170, 215, 240),
    "gray": (170, 170, 175),
    "wood": (115, 75, 45),
    "leaf": (50, 135, 50),
    "cream": (235, 220, 190),
    "pink": (235, 140, 160),
}
"""Paints that are equal on every object; "main", "dark", "light", "second" and "grip" are mixed per object."""

_COATED = {"main", "dark", "light", "second"}
_COAT_NAMES = [name for name, _ in COATS]
_COAT_LIMITS = np.cumsum([frequency for _, frequency in COATS]).tolist()

GROUNDS: dict[str, tuple[tuple[float, ...], tuple[float, ...], str, float]] = {
    "grass": ((70, 150, 60), (110, 185, 80), "blades", 20),
    "sea": ((30, 90, 160), (80, 160, 205), "waves", 14),
    "sand": ((225, 200, 140), (205, 175, 115), "grainy", 13),
    "sky": ((110, 175, 235), (190, 222, 245), "clouds", 32),
    "brick": ((150, 78, 62), (138, 68, 56), "bricks", 30),
    "night": ((24, 28, 72), (48, 44, 96), "stars", 50),
    "snow": ((225, 232, 240), (245, 248, 252), "rough", 7),
}
"""Background -> colour at the top, colour at the bottom, pattern and its strength; "plain" is mixed per scene."""

SKIES: dict[str, tuple[float, float, float]] = {
    "grass": (150, 200, 240),
    "sea": (175, 210, 240),
    "sand": (170, 210, 240),
    "snow": (190, 205, 225),
}
"""Background -> colour above the horizon, for those that show one."""


@dataclass(frozen=True)
class GroundTruth:
    """Ground truth of a scene, as (side, side) arrays.

    Attributes:
        mask, parts: uint8, index into CLASSES or PARTS + 1, 0 background.
        instances: uint8, index into the scene's objects + 1, 0 background.
        depth: float32 metres; an object has the depth of the ground that it touches.
    """

    mask: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    depth: NDArray[np.float32]


def piece_map(layout: Layout, side: int, order: Sequence[int] | None = None) -> NDArray[np.uint8]:
    """(side, side) number of the visible piece of each pixel, from 1 for the farthest thing; 0 is background.

    Args:
        layout: of the scene.
        side: in pixels.
        order: indices of the things, farthest first; None for `paint_order`.
    """
    canvas = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(canvas)
    number = 0
    for index in paint_order(layout) if order is None else order:
        for piece in layout.things[index].pieces:
            number += 1
            if number > 255:
                raise ValueError(
                    f"{len(layout.things)} objects have more than 255 pieces; expected at most 255; draw fewer objects"
                )
            draw.polygon((piece.points * side).ravel().tolist(), fill=number)
    return np.asarray(canvas)


def paint_order(layout: Layout) -> list[int]:
    """Indices of the things, farthest first; a thing that touches the ground lower in the image is nearer."""
    return sorted(range(len(layout.things)), key=lambda index: layout.things[index].bottom)


def _shade(colour: Colour, factor: float) -> Colour:
    shaded: Colour = np.clip(colour * factor + (18 if factor > 1 else 0), 0, 255).astype(np.float32)
    return shaded


def _scatter(chance: Chance, deviation: float) -> Colour:
    return np.array([deviation * chance.normal() for _ in range(3)], np.float32)


def _coat(chance: Chance) -> str:
    draw = chance(0.0, _COAT_LIMITS[-1])
    return next(name for name, limit in zip(_COAT_NAMES, _COAT_LIMITS, strict=True) if draw <= limit)


class _Nature:
    """Natural textures of world 2, from a random stream of their own; world 1 has none."""

    def __init__(self, look: Look, side: int) -> None:
        self.side = side
        self.chance = Chance(np.random.default_rng(look.nature)) if look.nature else None

    def texture(self, probability: float) -> NDArray[np.float32] | None:
        """(side, side) brightness of a photograph, with this probability."""
        if self.chance is None or self.chance() >= probability:
            return None
        return brightness(photograph(self.chance, self.side))

    def photograph(self) -> NDArray[np.float32]:
        """(side, side, 3) the background "photograph", of random contrast and brightness."""
        chance = self.chance or Chance(np.random.default_rng(0))
        crop = photograph(chance, self.side)
        middle = crop.mean((0, 1))
        scaled: NDArray[np.float32] = (crop - middle) * chance(0.5, 1.1) + middle * chance(0.7, 1.2)
        return scaled


def _background(look: Look, horizon: float, side: int, chance: Chance, nature: _Nature) -> NDArray[np.float32]:
    """(side, side, 3) the image without its objects."""
    if look.background == "photograph":
        return nature.photograph()
    if look.background == "plain":
        top: Colour = np.array([chance(30, 235) for _ in range(3)], np.float32)
        bottom: Colour = np.clip(top + _scatter(chance, 30), 0, 255)
        name, strength = _COAT_NAMES[chance.below(6)], chance(3, 16)
    else:
        high, low, name, strength = GROUNDS[look.background]
        top, bottom = np.array(high, np.float32), np.array(low, np.float32)
        strength *= chance(0.6, 1.2)
    top, bottom = top + _scatter(chance, 8), bottom + _scatter(chance, 8)
    height = np.linspace(0, 1, side, dtype=np.float32)[:, None]
    rows = top * (1 - height) + bottom * height  # (side, 3)
    weight = np.full((side, 1), strength, np.float32)
    if look.background in SKIES:
        ground = np.clip((height - horizon) / 0.1 + 0.5, 0, 1)  # a gradient instead of an edge
        rows = rows * ground + np.asarray(SKIES[look.background], np.float32) * (1 - ground)
        weight *= ground
    shift = int(chance() * side), int(chance() * side)
    texture = np.roll(pattern(name, side), shift, (0, 1))
    natural = nature.texture(0.3)
    if natural is not None:
        texture, weight = texture + natural, np.maximum(weight, 12)
    canvas: NDArray[np.float32] = rows[:, None, :] + (texture * weight)[..., None]  # (side, side, 3)
    return canvas


@dataclass(frozen=True)
class Appearance:
    """What the pieces and the background of a scene look like, at twice the size of its image.

    Attributes:
        canvas: (side, side, 3) the background, 0 to 255 before clipping.
        paints: (256, 3) colour of each piece by its number.
        strengths: (256,) amplitude of each piece's texture.
        middles: (256,) height of the object's centre as a fraction of the side: above it a piece is lighter.
        coats: (256,) index of each piece's texture.
        textures: (P, side, side) brightness.
        roll: rows and columns by which the textures of objects are shifted.
    """

    canvas: NDArray[np.float32]
    paints: NDArray[np.float32]
    strengths: NDArray[np.float32]
    middles: NDArray[np.float32]
    coats: NDArray[np.intp]
    textures: NDArray[np.float32]
    roll: tuple[int, int]

    def paint(
        self,
        canvas: NDArray[np.float32],
        where: NDArray[np.intp],
        seen: NDArray[np.uint8],
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
    ) -> Image.Image:
        """The image, RGB of half the canvas's side, with pieces painted on the canvas, which is changed.

        Args:
            canvas: (side, side, 3) the background, contiguous.
            where: (N,) flat indices of the pixels of pieces.
            seen: (N,) the number of the piece of each.
            rows, columns: (N,) the pixel whose texture and shade each shows: its own in a still scene.
        """
        side = len(canvas)
        light = self.textures[self.coats[seen], (rows + self.roll[0]) % side, (columns + self.roll[1]) % side]
        light *= self.strengths[seen]
        light -= (rows / np.float32(side) - self.middles[seen]) * 50
        canvas.reshape(-1, 3)[where] = self.paints[seen] + light[:, None]
        np.clip(canvas, 0, 255, out=canvas)
        return Image.fromarray(canvas.astype(np.uint8)).reduce(2)


def appearance(layout: Layout, look: Look, side: int) -> Appearance:
    """The appearance of a scene's pieces, numbered as in `piece_map`, and of its background, side x side pixels."""
    chance = Chance(np.random.default_rng(look.seed))
    nature = _Nature(look, side)
    canvas = _background(look, layout.horizon, side, chance, nature)
    paints = np.zeros((256, 3), np.float32)
    strengths = np.zeros(256, np.float32)
    middles = np.zeros(256, np.float32)
    coats = np.zeros(256, np.intp)
    bank: dict[str, int] = {"flat": 0, "rough": 1}
    natural: dict[str, NDArray[np.float32]] = {}
    number = 0
    for index in paint_order(layout):
        thing = layout.things[index]
        main: Colour = np.clip(np.array(COLOURS[look.colours[index]], np.float32) + _scatter(chance, 10), 0, 255)
        names = list(COLOURS)
        mixed: dict[str, Colour] = {
            "main": main,
            "dark": _shade(main, 0.7),
            "light": _shade(main, 1.22),
            "second": np.array(COLOURS[names[chance.below(len(names))]], np.float32) * 0.6 + main * 0.4,
            "grip": np.array(FIXED_PAINTS["wood"] if chance() < 0.5 else (40, 40, 45), np.float32),
        }
        name = _coat(chance)
        texture = nature.texture(0.3)
        if texture is not None:
            name = f"photograph {index}"
            natural[name] = texture
        coat = bank.setdefault(name, len(bank))
        for piece in thing.pieces:
            number += 1
            paints[number] = mixed[piece.paint] if piece.paint in mixed else FIXED_PAINTS[piece.paint]
            coated = piece.paint in _COATED
            coats[number] = coat if coated else 1
            strengths[number] = chance(10, 26) if coated else 3
            middles[number] = thing.y
    textures = np.stack([natural[name] if name in natural else pattern(name, side) for name in bank])  # (P, side, side)
    roll = int(chance() * side), int(chance() * side)
    return Appearance(canvas, paints, strengths, middles, coats, textures, roll)


def render(layout: Layout, look: Look, size: int) -> tuple[Image.Image, NDArray[np.uint8]]:
    """The image (RGB, size x size) and its piece map at twice the size.

    Rendered at twice the size and averaged down, so that edges are smooth.
    """
    side = 2 * size
    pieces = piece_map(layout, side)
    seen = appearance(layout, look, side)
    where = np.flatnonzero(pieces)
    rows, columns = np.divmod(where, side)
    return seen.paint(seen.canvas, where, pieces.ravel()[where], rows, columns), pieces


def ground_truth(layout: Layout, look: Look, pieces: NDArray[np.uint8]) -> GroundTruth:
    """Class, part, instance and depth at half the piece map's side, sampled at every second row and column."""
    seen = np.ascontiguousarray(pieces[1::2, 1::2])
    side = seen.shape[0]
    classes, parts, instances = (np.zeros(256, np.uint8) for _ in range(3))
    depths = np.zeros(256, np.float32)
    number = 0
    for index in paint_order(layout):
        thing = layout.things[index]
        distance = depth_at(min(thing.bottom, 1.0), layout.horizon)
        for piece in thing.pieces:
            number += 1
            classes[number], instances[number] = CLASS_NUMBER[thing.name], index + 1
            parts[number], depths[number] = PART_NUMBER[piece.part], distance
    if look.background == "sky":
        background = [FAR] * side
    elif look.background == "brick":
        background = [depth_at(layout.horizon + 0.05, layout.horizon)] * side
    else:
        background = [depth_at((row + 0.5) / side, layout.horizon) for row in range(side)]
    depth = np.where(seen > 0, depths[seen], np.array(background, np.float32)[:, None]).astype(np.float32)
    return GroundTruth(classes[seen], parts[seen], instances[seen], depth)
