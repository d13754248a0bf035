"""Sizes that fit a patch grid."""

from __future__ import annotations

from PIL import Image

from dinoclip_viz.images.errors import MAXIMUM_SIDE


def whole_size(size: tuple[int, int], patch: int, longer: int, most: int = MAXIMUM_SIDE) -> tuple[int, int]:
    """Width and height, whole numbers of patches, nearest to the image's shape with its longer side about `longer`.

    Args:
        size: width and height of the image in pixels.
        patch: side of a patch in pixels.
        longer: wished length of the longer side in pixels, from one patch to `most`.
        most: the longest side of the result in pixels.

    Raises:
        ValueError: a side or the patch is not positive, or `longer` is out of its range.

    Examples:
        >>> whole_size((640, 480), patch=14, longer=224)
        (224, 168)
        >>> whole_size((10, 1000), patch=16, longer=512)
        (16, 512)
    """
    if patch < 1 or min(size) < 1:
        raise ValueError(f"size {size[0]} x {size[1]} and patch {patch}; expected sides and patch of at least 1 pixel")
    if not patch <= longer <= most:
        raise ValueError(f"longer side of {longer} pixels; expected from one patch ({patch}) to {most}")
    count = min(_rounded(longer, patch), most // patch)
    width, height = (max(1, _rounded(side * count, max(size))) for side in size)
    return width * patch, height * patch


def default_longer(size: tuple[int, int], published: int) -> int:
    """Longer side when nobody asked for one: the image's own, from the published size to twice it.

    Args:
        size: width and height of the image in pixels.
        published: side in pixels of the square that the model is published with.

    Examples:
        >>> [default_longer(size, published=224) for size in ((50, 100), (300, 200), (4000, 3000))]
        [224, 300, 448]
        >>> default_longer((4000, 3000), published=518)  # twice it would be more than MAXIMUM_SIDE
        1024
    """
    return min(max(published, min(max(size), 2 * published)), MAXIMUM_SIDE)


def to_grid(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image stretched to a size, bicubic, antialiased where it shrinks; always a new image.

    Args:
        image: RGB image.
        size: width and height in pixels, as `whole_size` gives them.

    Examples:
        >>> to_grid(Image.new("RGB", (640, 480)), whole_size((640, 480), patch=14, longer=224)).size
        (224, 168)
    """
    return image.resize(size, Image.Resampling.BICUBIC)


def _rounded(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, halves up; exact, unlike a float's."""
    return (2 * numerator + denominator) // (2 * denominator)
