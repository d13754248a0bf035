"""Trees, flowers and mushrooms."""

from __future__ import annotations

import math

import numpy as np

from dinoclip_viz.playground.shapes.geometry import Chance, Piece, bar, dome, ellipse, polygon


def tree(chance: Chance) -> list[Piece]:
    """A tree, a conifer of three tiers or a broad-leaved one of four clumps."""
    conifer, width = chance() < 0.4, chance(0.12, 0.17)
    trunk = Piece("trunk", bar(0, 1.0, 0, 0.0, width * 2.4, width * 1.5), "wood")
    if conifer:
        wide = chance(0.55, 0.72)
        return [
            trunk,
            Piece("canopy", polygon((-wide, 0.4), (wide, 0.4), (0, -0.35)), "main"),
            Piece("canopy", polygon((-wide * 0.82, -0.02), (wide * 0.82, -0.02), (0, -0.66)), "main"),
            Piece("canopy", polygon((-wide * 0.62, -0.4), (wide * 0.62, -0.4), (0, -0.98)), "light"),
        ]
    clump = chance(0.33, 0.42)
    return [
        trunk,
        Piece("trunk", bar(0, 0.3, 0.3, -0.1, 0.1), "wood"),
        Piece("canopy", ellipse(-0.33, -0.1, clump, clump * 0.9), "main"),
        Piece("canopy", ellipse(0.35, -0.12, clump, clump * 0.9), "main"),
        Piece("canopy", ellipse(0, -0.5, 0.47, 0.43), "main"),
        Piece("canopy", ellipse(-0.1, -0.6, 0.22, 0.18), "light"),
    ]


def flower(chance: Chance) -> list[Piece]:
    """A flower: five to eight petals round a centre, a stem with two leaves."""
    count, radius, turn, y = 5 + chance.below(4), chance(0.3, 0.37), chance(), -0.42
    angles = [turn + 2 * math.pi * i / count for i in range(count)]
    return [
        Piece("stem", bar(0, 1.0, 0, y, 0.11), "leaf"),
        Piece("leaf", ellipse(0.25, 0.5, 0.25, 0.12, -0.5), "leaf"),
        Piece("leaf", ellipse(-0.25, 0.66, 0.25, 0.12, 0.5), "leaf"),
        *(
            Piece("petal", ellipse(radius * math.cos(a), y + radius * math.sin(a), 0.26, 0.16, a), "main")
            for a in angles
        ),
        Piece("center", ellipse(0, y, 0.2, 0.2), "yellow" if chance() < 0.7 else "wood"),
    ]


def mushroom(chance: Chance) -> list[Piece]:
    """A mushroom: a pale stem under a domed cap with white spots."""
    height, foot = chance(0.58, 0.85), chance(0.22, 0.3)
    cap = np.concatenate([dome(0, 0.05, 0.84, height, 12), polygon((0.72, 0.19), (-0.72, 0.19))])
    return [
        Piece("stem", polygon((-0.19, -0.05), (0.19, -0.05), (foot, 0.88), (-foot, 0.88)), "cream"),
        Piece("cap", cap, "main"),
        *(
            Piece("cap", ellipse(x, y * height / 0.7, r, r * 0.8), "white")
            for x, y, r in ((-0.42, -0.16, 0.12), (0.05, -0.4, 0.14), (0.44, -0.12, 0.11))
        ),
    ]
