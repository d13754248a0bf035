"""Projectors: trained modules that map features of one frozen encoder to the space of another."""

from dinoclip_viz.projector.checkpoint import load_dinov2_clip_checkpoint
from dinoclip_viz.projector.heads import HEADS, ProjectorWithResiduals, make_head
from dinoclip_viz.projector.module import Projector, unit
from dinoclip_viz.projector.sides import INPUTS, PATCHES
from dinoclip_viz.projector.text_side import TextSide, padded

__all__ = [
    "HEADS",
    "INPUTS",
    "PATCHES",
    "Projector",
    "ProjectorWithResiduals",
    "TextSide",
    "load_dinov2_clip_checkpoint",
    "make_head",
    "padded",
    "unit",
]
