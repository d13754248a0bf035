"""PCA colours of patches as an image."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoclip_viz.viz.enlarge import enlarge, enlarged_size
from dinoclip_viz.viz.inputs import as_array, as_bytes

BACKGROUND = (232, 232, 232)


def pca_image(
    colours: ArrayLike,
    size: int | tuple[int, int],
    smooth: bool = False,
    foreground: ArrayLike | None = None,
) -> Image.Image:
    """PCA colours as one square per patch or as a smooth image, with the background in grey.

    Args:
        colours: (H, W, 3) in [0, 1], one colour per patch; NaN is drawn grey.
        size: minimum length of the longer side in pixels, or the exact (width, height), as in `enlarge`.
        smooth: interpolate bicubically instead of drawing squares.
        foreground: (H, W) bool, True for patches of the foreground; None colours every patch.

    Raises:
        ValueError: another shape, colours outside [0, 1], or a foreground of another grid.

    Examples:
        >>> shown = pca_image([[[1, 0, 0], [0, 0, 1]]], size=4, foreground=[[True, False]])
        >>> shown.size, shown.getpixel((1, 1)), shown.getpixel((2, 0))
        ((4, 2), (255, 0, 0), (232, 232, 232))
    """
    array = as_array(colours)
    if array.ndim != 3 or array.shape[-1] != 3 or array.size == 0:
        raise ValueError(f"colours of shape {array.shape}; expected (H, W, 3): pass one image's patches at a time")
    levels = as_bytes(array, "colours")  # (H, W, 3)
    if foreground is not None:
        given = as_array(foreground)
        if given.dtype != np.bool_ or given.shape != array.shape[:2]:
            raise ValueError(
                f"a foreground of {given.dtype} {given.shape}; expected bool {array.shape[:2]}, as the colours"
            )
        front = given.astype(np.bool_)
        if smooth:
            return _smooth(levels, front, enlarged_size(array.shape[1], array.shape[0], size))
        levels[~front] = BACKGROUND
    return enlarge(levels, size, smooth)


def _smooth(levels: NDArray[np.uint8], front: NDArray[np.bool_], size: tuple[int, int]) -> Image.Image:
    """The foreground enlarged by itself, then composited, so that no colour bleeds across the boundary."""
    alpha = _bicubic(front.astype(np.float32), size)
    weighted = np.where(front[..., None], levels, 0).astype(np.float32)  # (H, W, 3)
    channels = [_bicubic(weighted[..., channel], size) for channel in range(3)]
    colours = (np.stack(channels, axis=-1) / np.maximum(alpha, 1e-3)[..., None]).clip(0, 255)
    alpha = alpha.clip(0, 1)[..., None]
    return Image.fromarray(np.round(alpha * colours + (1 - alpha) * np.array(BACKGROUND)).astype(np.uint8))


def _bicubic(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))
