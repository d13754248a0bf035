"""Dense methods: patches of a CLIP that are comparable with texts."""

from dinoclip_viz.dense.block import LastBlock, recorded_input
from dinoclip_viz.dense.maskclip import maskclip
from dinoclip_viz.dense.pooling import guided_pooling
from dinoclip_viz.dense.refinement import refine

__all__ = ["LastBlock", "guided_pooling", "maskclip", "recorded_input", "refine"]
