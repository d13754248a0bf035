"""Cats, dogs, elephants, birds, fish and butterflies."""

from __future__ import annotations

from dinoclip_viz.playground.shapes.geometry import Chance, Piece, bar, ellipse, polygon


def _legs(chance: Chance, length: float, height: float, width: float) -> list[Piece]:
    """Four legs in step: the far pair darker, behind the near pair."""
    swing = chance(-0.12, 0.12)
    bottom = 0.24 + height
    pieces = []
    for index, x in enumerate((-length + 0.12, length - 0.3, -length + 0.3, length - 0.1)):
        step = swing if index % 2 else -swing
        paint = "dark" if index < 2 else "main"
        pieces.append(Piece("leg", bar(x, 0.0, x + step, bottom, width, width * 0.85), paint))
    return pieces


def cat(chance: Chance) -> list[Piece]:
    """A cat: pointed ears, a thin tail held up, a small nose."""
    length, depth, height = chance(0.5, 0.66), chance(0.23, 0.32), chance(0.38, 0.56)
    x, y = length + chance(0.0, 0.1), -0.15 - chance(0.12, 0.34)
    lift, lean = chance(-0.25, 0.2), chance(-0.2, 0.2)
    ear = chance(0.38, 0.5)
    return [
        Piece("tail", bar(-length + 0.05, -0.05, -length - 0.26, -0.32 + lift * 0.4, 0.14), "main"),
        Piece("tail", bar(-length - 0.25, -0.28 + lift * 0.4, -length - 0.18 + lean, -0.78 + lift, 0.13, 0.09), "main"),
        *_legs(chance, length, height, 0.15),
        Piece("body", ellipse(0, -0.02, length + 0.08, depth), "main"),
        Piece("ear", polygon((x - 0.26, y - 0.05), (x - 0.22, y - ear), (x - 0.02, y - 0.2)), "dark"),
        Piece("ear", polygon((x + 0.26, y - 0.05), (x + 0.22, y - ear), (x + 0.02, y - 0.2)), "dark"),
        Piece("head", ellipse(x, y, 0.28, 0.26), "main"),
        Piece("nose", polygon((x, y + 0.05), (x + 0.14, y + 0.05), (x + 0.07, y + 0.13)), "pink"),
        Piece("eye", ellipse(x - 0.07, y - 0.05, 0.055, 0.065), "black"),
        Piece("eye", ellipse(x + 0.12, y - 0.05, 0.055, 0.065), "black"),
    ]


def dog(chance: Chance) -> list[Piece]:
    """A dog: hanging ears, a long snout with a black tip, a tail thinning to its end."""
    length, depth, height = chance(0.5, 0.68), chance(0.24, 0.33), chance(0.42, 0.6)
    x, y = length + chance(0.0, 0.1), -0.15 - chance(0.1, 0.32)
    wag, snout = chance(-0.3, 0.35), chance(0.4, 0.52)
    return [
        Piece("tail", bar(-length + 0.05, -0.1, -length - 0.3, -0.45 + wag, 0.17, 0.07), "main"),
        *_legs(chance, length, height, 0.17),
        Piece("body", ellipse(0, -0.02, length + 0.08, depth), "main"),
        Piece("head", ellipse(x, y, 0.26, 0.235), "main"),
        Piece(
            "nose", polygon((x + 0.08, y - 0.08), (x + snout, y), (x + snout, y + 0.16), (x + 0.05, y + 0.21)), "light"
        ),
        Piece("nose", ellipse(x + snout, y + 0.04, 0.08, 0.07), "black"),
        Piece("ear", ellipse(x - 0.12, y + 0.1, 0.12, 0.3, 0.25), "dark"),
        Piece("eye", ellipse(x + 0.1, y - 0.07, 0.055, 0.06), "black"),
    ]


def elephant(chance: Chance) -> list[Piece]:
    """An elephant: a heavy body, a trunk (part "nose") of two bars, a big ear, a tusk."""
    length, depth, height = chance(0.52, 0.66), chance(0.36, 0.47), chance(0.42, 0.56)
    x, y = length + chance(-0.03, 0.07), -0.05 - chance(0.08, 0.3)
    curl = chance(-0.22, 0.25)
    return [
        Piece("tail", bar(-length, -0.1, -length - 0.16, 0.28, 0.07), "dark"),
        *_legs(chance, length, height, 0.25),
        Piece("body", ellipse(0, -0.04, length + 0.08, depth), "main"),
        Piece("head", ellipse(x, y, 0.33, 0.35), "main"),
        Piece("nose", bar(x + 0.2, y + 0.05, x + 0.42, y + 0.4, 0.22, 0.17), "main"),
        Piece("nose", bar(x + 0.42, y + 0.36, x + 0.45 + curl, y + 0.85, 0.17, 0.11), "main"),
        Piece("nose", bar(x + 0.2, y + 0.25, x + 0.5, y + 0.32, 0.08, 0.03), "white"),
        Piece("ear", ellipse(x - 0.16, y + 0.02, 0.25, 0.35, 0.2), "dark"),
        Piece("eye", ellipse(x + 0.12, y - 0.06, 0.05, 0.06), "black"),
    ]


def bird(chance: Chance) -> list[Piece]:
    """A bird: a beak (part "nose"), a wing raised or lowered, two thin legs."""
    flap, lift, size = chance(-0.5, 0.7), chance(-0.15, 0.15), chance(0.29, 0.37)
    return [
        Piece("tail", polygon((-0.45, -0.04), (-1.0, -0.22 + lift), (-0.95, 0.14 + lift), (-0.45, 0.18)), "dark"),
        Piece("leg", bar(-0.05, 0.25, -0.1, 0.68, 0.07), "orange"),
        Piece("leg", bar(0.12, 0.25, 0.15, 0.68, 0.07), "orange"),
        Piece("body", ellipse(0, 0.02, 0.58, size, -0.15), "main"),
        Piece("head", ellipse(0.5, -0.33, 0.25, 0.24), "main"),
        Piece("nose", polygon((0.68, -0.43), (1.0, -0.3), (0.68, -0.21)), "orange"),
        Piece(
            "wing",
            polygon((0.2, -0.12), (-0.45, -0.15 - 0.75 * flap), (-0.66, 0.1 - 0.4 * flap), (-0.25, 0.18)),
            "second",
        ),
        Piece("eye", ellipse(0.56, -0.38, 0.06, 0.06), "black"),
    ]


def fish(chance: Chance) -> list[Piece]:
    """A fish: a forked tail, fins above and below, a big eye."""
    height, fork = chance(0.3, 0.46), chance(0.34, 0.46)
    body = ellipse(0.05, 0, 0.66, height)
    return [
        Piece("tail", polygon((-0.45, 0), (-1.0, -fork), (-0.84, 0), (-1.0, fork)), "second"),
        Piece("fin", polygon((-0.28, -height * 0.75), (0.05, -height - 0.3), (0.32, -height * 0.7)), "second"),
        Piece("fin", polygon((-0.1, height * 0.7), (-0.22, height + 0.26), (0.22, height * 0.8)), "second"),
        Piece("body", body, "main"),
        Piece("head", body[[14, 15, 16, 17, 0, 1, 2, 3, 4]], "light"),
        Piece("eye", ellipse(0.42, -0.1, 0.1, 0.1), "white"),
        Piece("eye", ellipse(0.44, -0.1, 0.055, 0.055), "black"),
        Piece("fin", polygon((0.08, 0.05), (-0.24, 0.24), (-0.18, -0.04)), "dark"),
    ]


def butterfly(chance: Chance) -> list[Piece]:
    """A butterfly seen from above: four wings, a thin body, two feelers."""
    spread, low = chance(0.7, 1.0), chance(0.3, 0.4)
    pieces = []
    for side in (-1, 1):
        pieces += [
            Piece("wing", ellipse(side * 0.43 * spread, 0.35, 0.34 * spread, low, side * 0.5), "second"),
            Piece("wing", ellipse(side * 0.5 * spread, -0.28, 0.48 * spread, 0.42, -side * 0.6), "main"),
            Piece("wing", ellipse(side * 0.52 * spread, -0.3, 0.22 * spread, 0.19), "light"),
            Piece("head", bar(0, -0.5, side * 0.22, -0.9, 0.06), "black"),
        ]
    return [
        *pieces,
        Piece("body", ellipse(0, 0.05, 0.11, 0.52), "black"),
        Piece("head", ellipse(0, -0.48, 0.13, 0.13), "black"),
    ]
