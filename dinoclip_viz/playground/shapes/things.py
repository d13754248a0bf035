"""Houses, cups, knives, hammers, umbrellas and chairs."""

from __future__ import annotations

import numpy as np

from dinoclip_viz.playground.shapes.geometry import Chance, Piece, arc, bar, box, dome, ellipse, polygon


def house(chance: Chance) -> list[Piece]:
    """A house: walls, a pointed roof with a chimney, a door, two windows."""
    width, door, rise = chance(0.62, 0.85), chance(-0.25, 0.25), chance(0.48, 0.75)
    return [
        Piece("roof", box(width * 0.45, -rise - 0.1, width * 0.45 + 0.18, -0.2), "wood"),
        Piece("body", box(-width, -0.15, width, 0.85), "main"),
        Piece("roof", polygon((-width - 0.13, -0.1), (0, -0.12 - rise), (width + 0.13, -0.1)), "second"),
        Piece("door", box(door - 0.15, 0.28, door + 0.15, 0.85), "wood"),
        Piece("window", box(-width + 0.1, 0.05, -width + 0.38, 0.36), "glass"),
        Piece("window", box(width - 0.38, 0.05, width - 0.1, 0.36), "glass"),
    ]


def cup(chance: Chance) -> list[Piece]:
    """A cup: walls that may narrow downwards, a rim, a handle at its side, a band."""
    taper, height, band = chance(0.0, 0.2), chance(0.52, 0.78), chance(-0.1, 0.15)
    return [
        Piece("handle", arc(0.5, 0.0, 0.32, -1.5, 1.5, 0.16), "dark"),
        Piece(
            "body", polygon((-0.57, -height), (0.57, -height), (0.57 - taper, height), (-0.57 + taper, height)), "main"
        ),
        Piece("body", ellipse(0, -height, 0.57, 0.14), "dark"),
        Piece("body", ellipse(0, -height + 0.02, 0.47, 0.09), "wood"),
        Piece("body", box(-0.52 + taper / 2, band - 0.09, 0.52 - taper / 2, band + 0.09), "second"),
    ]


def knife(chance: Chance) -> list[Piece]:
    """A knife: a pointed blade with a light edge, a handle with two rivets."""
    height = chance(0.17, 0.25)
    return [
        Piece(
            "blade", polygon((-0.1, -height), (0.7, -height), (1.0, 0), (0.85, height * 0.7), (-0.1, height)), "main"
        ),
        Piece(
            "blade", polygon((-0.1, height * 0.4), (0.92, height * 0.4), (0.85, height * 0.7), (-0.1, height)), "light"
        ),
        Piece(
            "handle",
            polygon((-1.0, -height * 0.8), (-0.12, -height * 0.9), (-0.12, height * 1.1), (-1.0, height * 0.9)),
            "grip",
        ),
        Piece("handle", ellipse(-0.8, 0, 0.06, 0.06), "yellow"),
        Piece("handle", ellipse(-0.4, 0, 0.06, 0.06), "yellow"),
    ]


def hammer(chance: Chance) -> list[Piece]:
    """A hammer: a wooden or dark handle, a head flat on one side and pointed on the other."""
    width = chance(0.1, 0.14)
    return [
        Piece("handle", bar(0, 1.0, 0, -0.5, width * 2.4, width * 2.0), "grip"),
        Piece("head", box(-0.42, -0.88, 0.36, -0.42), "main"),
        Piece("head", box(0.3, -0.94, 0.54, -0.36), "dark"),
        Piece("head", polygon((-0.4, -0.88), (-0.86, -0.5), (-0.82, -0.38), (-0.4, -0.46)), "main"),
    ]


def umbrella(chance: Chance) -> list[Piece]:
    """An open umbrella: a canopy of stripes, a stick that ends in a hook."""
    height = chance(0.72, 0.9)
    top = dome(0, 0.05, 0.95, height)
    return [
        Piece("handle", bar(0, 0.05, 0, 0.8, 0.1), "grip"),
        Piece("handle", arc(-0.14, 0.8, 0.14, 0, 2.6, 0.1, 6), "grip"),
        Piece("canopy", top, "main"),
        Piece("canopy", np.concatenate([top[4:9], polygon((0.3, 0.05), (-0.3, 0.05))]), "second"),
        Piece("canopy", bar(0, -height + 0.08, 0, -height - 0.1, 0.07), "grip"),
    ]


def chair(chance: Chance) -> list[Piece]:
    """A chair seen from the side: four legs, a seat, a back of two slats."""
    back, width, leg = chance(0.72, 0.95), chance(0.4, 0.52), 0.14
    return [
        Piece("leg", bar(-width + 0.05, 0.1, -width, 0.95, leg), "dark"),
        Piece("leg", bar(width - 0.2, 0.1, width - 0.2, 0.85, leg), "dark"),
        Piece("back", box(-width - 0.02, -back, -width + 0.14, 0.15), "main"),
        Piece(
            "back",
            polygon((-width, -back), (-width + 0.48, -back + 0.1), (-width + 0.48, 0.05), (-width, 0.0)),
            "light",
        ),
        Piece("seat", polygon((-width, 0.0), (width - 0.05, 0.0), (width + 0.16, 0.22), (-width + 0.05, 0.25)), "main"),
        Piece("leg", bar(-width + 0.22, 0.2, -width + 0.22, 0.98, leg), "main"),
        Piece("leg", bar(width + 0.05, 0.15, width + 0.08, 0.98, leg), "main"),
    ]
