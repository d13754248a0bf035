"""The unlabelled images of the Adapt tab: scenes of a domain, uploaded files, or a folder of the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from PIL import Image

from dinoclip_viz import playground
from dinoclip_viz.adapt.inputs import Images
from dinoclip_viz.data import open_source

SCENES, UPLOADS, FOLDER = "synthetic scenes", "uploads", "folder"
PLAIN = "plain"
SEED, SIZE, MOST = 4100, 96, 1000
"""Seed and side of the scenes, and the largest number of images of a run."""


@dataclass(frozen=True)
class Given:
    """Images to adapt to.

    Attributes:
        images: as `adapt` accepts them.
        classes: ground truth of each image, for scoring alone; () where it is not known.
        synthetic: whether they are scenes of the playground.
    """

    images: Images
    classes: tuple[str, ...] = ()
    synthetic: bool = False


def given_images(kind: str, domain: str, count: int, uploads: Sequence[str] | None, folder: str) -> Given:
    """The images of the choice.

    Args:
        kind: `SCENES`, `UPLOADS` or `FOLDER`.
        domain: of scenes, `PLAIN` or a name of `playground.DOMAINS`.
        count: number of scenes.
        uploads: paths of files.
        folder: path of a folder of images.

    Raises:
        ValueError: nothing is given, or more than `MOST` images.
    """
    if kind == SCENES:
        images, classes = _scenes(domain, int(count))
        return Given(images, classes, synthetic=True)
    if kind == UPLOADS:
        if not uploads:
            raise ValueError("found no uploads; expected image files: drop them on the page first")
        _check_number(len(uploads))
        return Given(tuple(uploads))
    path = Path(folder.strip()).expanduser()
    if not folder.strip() or not path.is_dir():
        raise ValueError(f"found no folder {folder.strip() or '(empty)'}; expected the path of a folder of images")
    source = open_source(path)
    listed = islice(source.samples(), MOST + 1)  # paths: no image is read
    _check_number(source.count if source.count is not None else sum(1 for _ in listed))
    return Given(source)


def _check_number(count: int) -> None:
    if count > MOST:
        raise ValueError(f"found {count} images; expected at most {MOST}: use `dinoclip adapt` for more")


@lru_cache(maxsize=4)
def _scenes(domain: str, count: int) -> tuple[tuple[Image.Image, ...], tuple[str, ...]]:
    """Images of single objects, and the class of each."""
    drawn = playground.draw(SEED, count, SIZE, objects=1, domain=None if domain == PLAIN else domain)
    return tuple(scene.image for scene in drawn), tuple(str(scene.objects[0]["name"]) for scene in drawn)
