"""The playground: a drawn world with ground truth, and the tiny models that were really trained on it."""

from dinoclip_viz.playground.vocabulary import AFFORDANCES, BACKGROUNDS, CLASSES, COLOURS, PARTS
from dinoclip_viz.playground.world import Scene, SceneObject, draw, stream

__all__ = ["AFFORDANCES", "BACKGROUNDS", "CLASSES", "COLOURS", "PARTS", "Scene", "SceneObject", "draw", "stream"]
