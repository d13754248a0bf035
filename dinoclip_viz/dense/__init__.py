"""How a CLIP's patches become comparable with text."""

from dinoclip_viz.dense.block import LastBlock, recorded_input
from dinoclip_viz.dense.maskclip import maskclip

__all__ = ["LastBlock", "maskclip", "recorded_input"]
