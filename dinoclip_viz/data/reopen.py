"""The image of a row of a store, opened again: from its file, or drawn anew where it was drawn."""

from __future__ import annotations

import re

from PIL import Image

from dinoclip_viz.data.locations import is_address
from dinoclip_viz.data.playground import playground_of
from dinoclip_viz.images import ImageError, load_image

_SCENE = re.compile(r"(\d{1,18})-(\d{1,18})")


def reopen(source: str, key: str, path: str = "") -> Image.Image:
    """The RGB image that a store's row describes; nothing is downloaded.

    Args:
        source: the name of the store's data source.
        key: the row's key; path: its image_path.

    Raises:
        ImageError: it is out of reach: no file of this machine, broken, or from a source that does not give its path.
        SourceError: the source is a playground's that cannot be.

    Examples:
        >>> reopen("playground:2000:10", "2000-000003").size
        (96, 96)
    """
    if path and not is_address(path):
        return load_image(path)
    scene = _SCENE.fullmatch(key)
    if source.split(":", maxsplit=1)[0] == "playground" and scene:
        world, index = playground_of(source), int(scene[2])
        if int(scene[1]) == world.seed and index < world.count:
            return next(world.samples(index)).load()
    where = f"{path} would have to be downloaded" if path else f"{source} does not say where"
    raise ImageError(f"{key}: the image is out of reach ({where}); expected a file on this machine")
