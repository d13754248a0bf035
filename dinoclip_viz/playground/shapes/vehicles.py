"""Cars, buses, boats, planes and bicycles."""

from __future__ import annotations

import math

from dinoclip_viz.playground.shapes.geometry import Chance, Piece, arc, bar, box, ellipse, polygon


def _wheel(x: float, y: float, radius: float) -> list[Piece]:
    return [
        Piece("wheel", ellipse(x, y, radius, radius), "black"),
        Piece("wheel", ellipse(x, y, radius * 0.5, radius * 0.5), "gray"),
    ]


def car(chance: Chance) -> list[Piece]:
    """A car: a cabin with two windows on a long body, two wheels."""
    height, front, rear = chance(0.36, 0.5), chance(0.22, 0.45), chance(-0.62, -0.4)
    wheel = chance(0.2, 0.25)
    return [
        Piece(
            "roof",
            polygon(
                (rear - 0.14, 0.02), (rear + 0.08, -height - 0.05), (front - 0.1, -height - 0.05), (front + 0.24, 0.02)
            ),
            "main",
        ),
        Piece("window", polygon((rear, 0), (rear + 0.13, -height + 0.05), (-0.1, -height + 0.05), (-0.1, 0)), "glass"),
        Piece(
            "window",
            polygon((-0.02, 0), (-0.02, -height + 0.05), (front - 0.13, -height + 0.05), (front + 0.1, 0)),
            "glass",
        ),
        Piece(
            "body",
            polygon((-0.98, 0.0), (-0.93, -0.06), (0.75, -0.02), (0.98, 0.12), (0.98, 0.4), (-0.98, 0.4)),
            "main",
        ),
        Piece("door", box(-0.34, 0.03, 0.1, 0.34), "dark"),
        Piece("body", ellipse(0.92, 0.17, 0.07, 0.08), "yellow"),
        *_wheel(-0.55, 0.4, wheel),
        *_wheel(0.55, 0.4, wheel),
    ]


def bus(chance: Chance) -> list[Piece]:
    """A bus: a tall box with a row of windows and a door at the front."""
    height, count = chance(0.48, 0.68), 3 + chance.below(3)
    step = 1.5 / count
    return [
        Piece("body", box(-1.0, -height, 1.0, 0.4), "main"),
        Piece("roof", box(-1.0, -height - 0.1, 1.0, -height + 0.04), "light"),
        Piece("door", box(0.66, -height + 0.16, 0.92, 0.34), "dark"),
        *(
            Piece("window", box(-0.9 + i * step, -height + 0.14, -0.9 + (i + 0.76) * step, -height + 0.48), "glass")
            for i in range(count)
        ),
        *_wheel(-0.6, 0.42, 0.22),
        *_wheel(0.48, 0.42, 0.22),
    ]


def boat(chance: Chance) -> list[Piece]:
    """A sailing boat: a hull, a mast, two sails."""
    reach, mast, top = chance(0.5, 0.85), chance(-0.1, 0.1), chance(0.8, 0.95)
    return [
        Piece("mast", bar(mast, 0.25, mast, -top - 0.03, 0.08), "wood"),
        Piece("sail", polygon((mast + 0.06, -top), (mast + reach, 0.1), (mast + 0.06, 0.1)), "white"),
        Piece("sail", polygon((mast - 0.06, -top * 0.8), (mast - reach * 0.75, 0.1), (mast - 0.06, 0.1)), "second"),
        Piece("hull", polygon((-0.9, 0.22), (0.95, 0.22), (0.65, 0.66), (-0.65, 0.66)), "main"),
        Piece("hull", polygon((-0.9, 0.2), (0.95, 0.2), (0.91, 0.32), (-0.86, 0.32)), "dark"),
    ]


def plane(chance: Chance) -> list[Piece]:
    """A plane: a long body with a light nose, two wings, a tail fin, a row of windows."""
    sweep, width = chance(0.14, 0.4), chance(0.19, 0.25)
    body = ellipse(0, 0, 0.95, width)
    return [
        Piece("wing", polygon((0.18, -0.05), (-0.32, -0.66), (-0.1, -0.62), (0.42, -0.05)), "dark"),
        Piece("tail", polygon((-0.72, -0.05), (-1.0, -0.54), (-0.78, -0.5), (-0.46, -0.12)), "main"),
        Piece("body", body, "main"),
        Piece("head", body[[15, 16, 17, 0, 1, 2, 3]], "light"),
        Piece("wing", polygon((0.28, 0.05), (-0.37, 0.35 + sweep), (-0.12, 0.38 + sweep), (0.52, 0.05)), "second"),
        Piece("tail", polygon((-0.68, 0.0), (-0.98, 0.17), (-0.8, 0.2), (-0.5, 0.05)), "second"),
        *(Piece("window", ellipse(x, -0.05, 0.06, 0.06), "glass") for x in (-0.42, -0.21, 0.0, 0.21, 0.42)),
    ]


def bicycle(chance: Chance) -> list[Piece]:
    """A bicycle: two rings for wheels, a frame of bars, a seat, handlebars."""
    radius, post = chance(0.36, 0.43), chance(-0.3, -0.2)
    bars = [
        (-0.58, 0.3, -0.25, post),
        (-0.25, post, 0.4, post),
        (-0.58, 0.3, 0.0, 0.3),
        (0.0, 0.3, 0.4, post),
        (0.0, 0.3, -0.32, post - 0.12),
        (0.58, 0.3, 0.36, post - 0.2),
    ]
    return [
        *(Piece("wheel", arc(x, 0.3, radius, 0, 2 * math.pi, 0.13, 17), "black") for x in (-0.58, 0.58)),
        *(Piece("frame", bar(*ends, 0.12), "main") for ends in bars),
        Piece("seat", ellipse(-0.34, post - 0.16, 0.21, 0.09), "black"),
        Piece("handle", bar(0.18, post - 0.32, 0.42, post - 0.18, 0.11), "wood"),
        Piece("handle", bar(0.42, post - 0.18, 0.56, post - 0.32, 0.11), "wood"),
    ]
