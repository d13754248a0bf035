"""Dense correspondence of two images as colours: one PCA of the patches of both."""

from __future__ import annotations

from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.encoders.mixed import as_features
from dinoclip_viz.images import ImageLike
from dinoclip_viz.tasks.correspondence.transfer import check_pair
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA, Subject


def dense_colours(
    a: ImageFeatures | ImageLike,
    b: ImageFeatures | ImageLike,
    subject: Subject = "all",
    encoder: str | ImageEncoder | None = None,
) -> tuple[list[Tensor], list[Tensor], PatchPCA]:
    """(H, W, 3) colours of both images by one PCA, their (H, W) foregrounds, and that PCA.

    Similar colours mark similar patches, within and between the images (as in DINOv2's paper).

    Args:
        a: an image in any form, or its features (B = 1).
        b: another image, or its features by the same encoder.
        subject: "foreground" fits the colours on the foreground alone, which separates parts.
        encoder: encodes images that are given instead of features; a name or an encoder. None uses "playground-dino".

    Raises:
        ImageError: an image that cannot be read.
        ValueError: features of several images, or fewer patches than three components need.
        SpaceError: features of two encoders.
    """
    pca = PatchPCA(3, subject, encoder=encoder)
    pair = as_features(pca.encoder, (a, b))
    check_pair(*pair)
    pca.fit(pair)
    return [part[0] for part in pca.transform(pair)], [part[0] for part in pca.foreground(pair)], pca
