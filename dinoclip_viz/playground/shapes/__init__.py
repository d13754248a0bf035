"""How each class is put together from polygons: `build(name, chance)` gives the pieces, back to front."""

from __future__ import annotations

from collections.abc import Callable

from dinoclip_viz.playground.shapes import animals, plants, things, vehicles
from dinoclip_viz.playground.shapes.geometry import Chance, Piece

BUILDERS: dict[str, Callable[[Chance], list[Piece]]] = {
    "cat": animals.cat,
    "dog": animals.dog,
    "elephant": animals.elephant,
    "bird": animals.bird,
    "fish": animals.fish,
    "butterfly": animals.butterfly,
    "car": vehicles.car,
    "bus": vehicles.bus,
    "boat": vehicles.boat,
    "plane": vehicles.plane,
    "bicycle": vehicles.bicycle,
    "tree": plants.tree,
    "flower": plants.flower,
    "mushroom": plants.mushroom,
    "house": things.house,
    "cup": things.cup,
    "knife": things.knife,
    "hammer": things.hammer,
    "umbrella": things.umbrella,
    "chair": things.chair,
}

TURNS: dict[str, float] = {
    "knife": 3.14,
    "hammer": 3.14,
    "fish": 0.5,
    "butterfly": 0.5,
    "plane": 0.5,
    "umbrella": 0.5,
}
"""Largest angle (radians) by which a class is turned either way; whatever is not named stands nearly upright."""


def build(name: str, chance: Chance) -> list[Piece]:
    """The pieces of one object of the class, in the square [-1, 1] x [-1, 1], y downwards, back to front."""
    return BUILDERS[name](chance)


__all__ = ["BUILDERS", "TURNS", "Chance", "Piece", "build"]
