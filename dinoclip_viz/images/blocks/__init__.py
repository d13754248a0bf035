"""How much a file asks of its decoder, read from its structure before any decoder sees it.

Decoders walk over every block of a file, some of them in Python and some more than once. A file of 20 MB can hold
millions of blocks, tags that all name the same megabytes, or hundreds of scans over the same pixels; ordinary files are
far below each limit here.
"""

from dinoclip_viz.images.blocks.check import check_blocks
from dinoclip_viz.images.blocks.gif import check_animation
from dinoclip_viz.images.blocks.tags import exif_excess

__all__ = ["check_animation", "check_blocks", "exif_excess"]
