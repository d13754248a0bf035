"""Linear probes that are there to be used: the package's own, and those in a folder of a user's."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.tasks.probes.linear import LinearProbe, Seen

CLASS_PROBES = PLAYGROUND / "heads" / "classification"
"""Where the package's own probes lie."""


def probes_for(seen: Seen, folder: str | PathLike[str] | None = None) -> dict[str, LinearProbe]:
    """The probes that fit the encoder of some features, by the stem of their file: the package's, then a user's.

    What else lies in the folders, such as heads on patches, is passed over.

    Args:
        seen: features of the encoder.
        folder: of the user's probes, *.safetensors; one of the name of the package's takes its place.

    Raises:
        EncoderError: there is no such folder.

    Examples:
        >>> from dinoclip_viz import load_encoder, playground
        >>> features = load_encoder("playground-dino").encode([playground.draw(1003, 1, 96)[0].image])
        >>> list(probes_for(features))
        ['playground-dino']
    """
    places = [CLASS_PROBES]
    if folder is not None:
        own = Path(folder).expanduser()
        if not own.is_dir():
            raise EncoderError(f"there is no folder {own}; expected the folder of your probes (*.safetensors)")
        places.append(own)
    found: dict[str, LinearProbe] = {}
    for file in (file for place in places for file in sorted(place.glob("*.safetensors"))):
        try:
            probe = LinearProbe.load(file)
        except ValueError:
            continue
        if probe.fits(seen):
            found[file.stem] = probe
    return found
