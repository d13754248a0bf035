"""The space that patches need on disk, checked before anything is encoded."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.pipeline.shards import Patches, patch_bytes
from dinoclip_viz.store import StoreError

log = logging.getLogger(__name__)


def check_disk(
    encoders: Sequence[ImageEncoder], size: int | None, patches: Patches, count: int | None, folder: Path
) -> None:
    """Log the disk space that patches need.

    Args:
        encoders: of the images.
        size, patches: as in `embed`.
        count: number of images, None if unknown.
        folder: of a store.

    Raises:
        StoreError: the disk has less space than that.
    """
    if patches is None:
        return
    each = sum(patch_bytes(encoder, size, patches) for encoder in encoders)
    if count is None:
        log.warning("patches need %.1f MB on disk per 1,000 images", each / 1e3)
        return
    log.warning("patches of %d images need %.1f MB on disk", count, each * count / 1e6)
    disk = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(disk).free
    if each * count > free:
        raise StoreError(
            f"patches of {count} images need {each * count / 1e6:.1f} MB, but {disk} has {free / 1e6:.1f} MB free; "
            "average them to a smaller grid, such as patches=4"
        )
