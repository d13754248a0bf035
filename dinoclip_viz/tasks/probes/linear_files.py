"""Available linear probes: those of the package, and those in a user's folder."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.tasks.probes.linear import LinearProbe, Seen

CLASS_PROBES = PLAYGROUND / "heads" / "classification"
"""Folder of the package's probes."""


def probes_for(seen: Seen, folder: str | PathLike[str] | None = None) -> dict[str, LinearProbe]:
    """The probes for the encoder of some features, by the stem of their file: the package's, then a user's.

    Other files in the folders, such as heads on patches, are skipped.

    Args:
        seen: features of the encoder.
        folder: of the user's probes, *.safetensors; a probe replaces one of the same name in the package.

    Raises:
        EncoderError: no such folder.

    Examples:
        >>> from dinoclip_viz import load_encoder, playground
        >>> features = load_encoder("playground-dino").encode([playground.draw(1003, 1, 96)[0].image])
        >>> list(probes_for(features))
        ['playground-dino']
    """
    folders = [CLASS_PROBES]
    if folder is not None:
        own = Path(folder).expanduser()
        if not own.is_dir():
            raise EncoderError(f"found no folder {own}; expected a folder of probes (*.safetensors)")
        folders.append(own)
    found: dict[str, LinearProbe] = {}
    for file in (file for each in folders for file in sorted(each.glob("*.safetensors"))):
        try:
            probe = LinearProbe.load(file)
        except ValueError:
            continue
        if probe.fits(seen):
            found[file.stem] = probe
    return found
