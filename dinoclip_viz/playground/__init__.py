"""The playground: synthetic scenes with ground truth, and the tiny models trained on them."""

from dinoclip_viz.playground.domains import DOMAINS
from dinoclip_viz.playground.moving import Clip, ClipFrame, clip, clips
from dinoclip_viz.playground.vocabulary import ACTIONS, AFFORDANCES, BACKGROUNDS, CLASSES, COLOURS, PARTS
from dinoclip_viz.playground.world import Scene, SceneObject, draw, stream

__all__ = [
    "ACTIONS",
    "AFFORDANCES",
    "BACKGROUNDS",
    "CLASSES",
    "COLOURS",
    "DOMAINS",
    "PARTS",
    "Clip",
    "ClipFrame",
    "Scene",
    "SceneObject",
    "clip",
    "clips",
    "draw",
    "stream",
]  # fmt: skip
