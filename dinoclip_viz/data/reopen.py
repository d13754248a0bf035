"""The image of a row of a store: read from its file, or drawn again by the playground."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from dinoclip_viz.data.captions.selection import selected_from
from dinoclip_viz.data.locations import is_address
from dinoclip_viz.data.playground import playground_of
from dinoclip_viz.images import ImageError, Levels, load_image

_SCENE = re.compile(r"(\d{1,18})-(\d{1,18})")


def reopen(source: str, key: str, path: str = "", *, levels: Levels = None) -> Image.Image:
    """The RGB image of a row of a store; nothing is downloaded.

    Args:
        source: the name of the store's data source; a selection is read for the source of the scene.
        key: the row's key.
        path: the row's `image_path`.
        levels: the values shown as black and white, as in `load_image`; 8-bit scenes of the playground ignore them.

    Raises:
        ImageError: the image is not a file on this machine, is broken, or its source keeps no paths.
        SourceError: the source is an invalid name of the playground.

    Examples:
        >>> reopen("playground:2000:10", "2000-000003").size
        (96, 96)
    """
    if path and not is_address(path):
        return load_image(path, levels=levels)
    scene = _SCENE.fullmatch(key)
    if scene and not path:
        source = selected_from(Path(source), key) or source
    if source.split(":", maxsplit=1)[0] == "playground" and scene:
        scenes, index = playground_of(source), int(scene[2])
        if int(scene[1]) == scenes.seed and index < scenes.count:
            return next(scenes.samples(index)).load()
    reason = f"{path} would have to be downloaded" if path else f"{source} keeps no paths"
    raise ImageError(f"{key}: the image is not available ({reason}); expected a file on this machine")
