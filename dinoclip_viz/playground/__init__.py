"""The playground: synthetic scenes with ground truth, and the tiny models trained on them."""

from dinoclip_viz.playground.vocabulary import AFFORDANCES, BACKGROUNDS, CLASSES, COLOURS, PARTS
from dinoclip_viz.playground.world import Scene, SceneObject, draw, stream

__all__ = ["AFFORDANCES", "BACKGROUNDS", "CLASSES", "COLOURS", "PARTS", "Scene", "SceneObject", "draw", "stream"]
