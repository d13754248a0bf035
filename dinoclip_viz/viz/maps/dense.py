"""Class maps and depth maps as images, with their legends."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoclip_viz.viz.colours import colour_map
from dinoclip_viz.viz.enlarge import enlarge
from dinoclip_viz.viz.inputs import UNKNOWN, AnyImage, Colours, as_array, as_colours, as_image, as_map, check_opacity
from dinoclip_viz.viz.layout.legend import LEAST_WIDTH, class_legend, scale_bar, with_legend
from dinoclip_viz.viz.palette import class_palette

BACKGROUND = (150, 150, 155)
"""The colour of the class "background"."""
DEPTH_COLOURS = "magma"


def label_colours(names: Sequence[str]) -> NDArray[np.uint8]:
    """Colours (K, 3), 0 to 255, of classes; a first class "background" is grey, the others follow the palette.

    Args:
        names: K class names, 1 to 256.

    Examples:
        >>> label_colours(["background", "cat"]).tolist()
        [[150, 150, 155], [230, 159, 0]]
    """
    if names and names[0] == "background":
        return np.concatenate([np.array([BACKGROUND], np.uint8), class_palette(len(names) - 1)])
    return class_palette(len(names))


def label_image(
    labels: ArrayLike, colours: Colours, image: AnyImage | None = None, opacity: float = 0.65
) -> Image.Image:
    """Each pixel in the colour of its class, over the greyscale image if one is given; unlabelled pixels are grey.

    The image is greyscale so that its colours do not mix with those of the classes.

    Args:
        labels: (height, width) class indices; negative ones, and those without a colour, are unlabelled.
        colours: (K, 3) red, green, blue 0 to 255, as from `label_colours`.
        image: of the size of `labels`; None draws the colours alone.
        opacity: of the colours over the image, 0 to 1.

    Raises:
        ValueError: labels of another shape, opacity out of range, or an image of another size.

    Examples:
        >>> label_image(np.array([[0, 1, -1]]), [(10, 20, 30), (40, 50, 60)]).getpixel((2, 0))
        (200, 200, 200)
    """
    check_opacity(opacity)
    numbers = as_map(labels).astype(np.int64)
    table = np.concatenate([as_colours(colours), np.array([UNKNOWN], np.uint8)])  # (K + 1, 3)
    known = (numbers >= 0) & (numbers < len(table) - 1)
    painted = table[np.where(known, numbers, len(table) - 1)]  # (height, width, 3)
    if image is None:
        return Image.fromarray(painted)
    below = as_image(image)
    if below.size != (numbers.shape[1], numbers.shape[0]):
        raise ValueError(
            f"labels of {numbers.shape[1]} x {numbers.shape[0]} for an image of {below.width} x {below.height}; "
            "expected the same size"
        )
    return Image.blend(below.convert("L").convert("RGB"), Image.fromarray(painted), opacity)


def labels_legend(maps: Sequence[ArrayLike], names: Sequence[str], colours: Colours, width: int = 768) -> Image.Image:
    """The legend of the classes that occur in the maps.

    Args:
        maps: labels (height, width), as in `label_image`.
        names: K class names; colours: (K, 3) their colours.
        width: in pixels, at least 96.

    Raises:
        ValueError: another number of names than colours, or a width below 96.

    Examples:
        >>> labels_legend([np.array([[0, 1]])], ["cat", "dog"], [(230, 159, 0), (86, 180, 233)], width=200).width
        200
    """
    table = as_colours(colours)
    if len(names) != len(table):
        raise ValueError(f"{len(names)} names and {len(table)} colours; expected one colour per name")
    there = sorted({int(label) for one in maps for label in np.unique(as_array(one)) if 0 <= label < len(names)})
    if not there:
        return Image.new("RGB", (max(width, LEAST_WIDTH), 1), "white")
    return class_legend([names[label] for label in there], table[there], width)


def depth_image(depth: ArrayLike, low: float, high: float, size: int | tuple[int, int] = 768) -> Image.Image:
    """A depth map in colours, near dark and far bright; unknown pixels (NaN) are grey.

    Args:
        depth: (height, width) in metres.
        low, high: depth of the first and of the last colour, in metres; use the same for maps to be compared.
        size: as in `enlarge`.

    Raises:
        ValueError: not one map, or low is not below high.

    Examples:
        >>> depth_image(np.ones((2, 3)), low=0, high=10, size=6).size
        (6, 4)
    """
    return enlarge(colour_map(depth, low, high, DEPTH_COLOURS), size)


def depth_legend(low: float, high: float, width: int = 768) -> Image.Image:
    """The colour bar of `depth_image`, in metres.

    Raises:
        ValueError: low is not below high, or a width below 96.
    """
    return scale_bar(low, high, DEPTH_COLOURS, "depth in metres", width)


def depth_with_bar(depth: ArrayLike, low: float, high: float, size: int | tuple[int, int] = 768) -> Image.Image:
    """`depth_image` with its colour bar below; arguments and errors as for `depth_image`."""
    image = depth_image(depth, low, high, size)
    return with_legend(image, depth_legend(low, high, max(image.width, LEAST_WIDTH)))
