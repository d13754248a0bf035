"""Object classes as polygons: `build(name, chance)` returns the pieces, back to front."""

from __future__ import annotations

from collections.abc import Callable

from dinoclip_viz.playground.shapes.animals import bird, butterfly, cat, dog, elephant, fish
from dinoclip_viz.playground.shapes.geometry import Chance, Piece
from dinoclip_viz.playground.shapes.plants import flower, mushroom, tree
from dinoclip_viz.playground.shapes.things import chair, cup, hammer, house, knife, umbrella
from dinoclip_viz.playground.shapes.vehicles import bicycle, boat, bus, car, plane

BUILDERS: dict[str, Callable[[Chance], list[Piece]]] = {
    "cat": cat,
    "dog": dog,
    "elephant": elephant,
    "bird": bird,
    "fish": fish,
    "butterfly": butterfly,
    "car": car,
    "bus": bus,
    "boat": boat,
    "plane": plane,
    "bicycle": bicycle,
    "tree": tree,
    "flower": flower,
    "mushroom": mushroom,
    "house": house,
    "cup": cup,
    "knife": knife,
    "hammer": hammer,
    "umbrella": umbrella,
    "chair": chair,
}

TURNS: dict[str, float] = {
    "knife": 3.14,
    "hammer": 3.14,
    "fish": 0.5,
    "butterfly": 0.5,
    "plane": 0.5,
    "umbrella": 0.5,
}
"""Class -> maximum rotation in radians in either direction; the others stand nearly upright."""


def build(name: str, chance: Chance) -> list[Piece]:
    """The pieces of one object of the class, in the square [-1, 1] x [-1, 1], y downwards, back to front."""
    return BUILDERS[name](chance)


__all__ = ["BUILDERS", "TURNS", "Chance", "Piece", "build"]
