"""How a CLIP's patches become comparable with text."""

from dinoclip_viz.dense.block import LastBlock, recorded_input
from dinoclip_viz.dense.maskclip import maskclip
from dinoclip_viz.dense.pooling import guided_pooling

__all__ = ["LastBlock", "guided_pooling", "maskclip", "recorded_input"]
