"""Projectors: trained modules that map features of one frozen encoder to the space of another."""

from dinoclip_viz.projector.checkpoint import load_dinov2_clip_checkpoint
from dinoclip_viz.projector.heads import HEADS, ProjectorWithResiduals, make_head
from dinoclip_viz.projector.module import INPUTS, Projector, unit

__all__ = [
    "HEADS",
    "INPUTS",
    "Projector",
    "ProjectorWithResiduals",
    "load_dinov2_clip_checkpoint",
    "make_head",
    "unit",
]
