"""PIL images, arrays and tensors of any kind -> RGB images, upright, on white, in sRGB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.images.blocks.tags import exif_excess
from dinoclip_viz.images.colour import to_srgb
from dinoclip_viz.images.errors import ImageError, check_size, image_error
from dinoclip_viz.images.levels import VALUES, Levels, eight_bits

if TYPE_CHECKING:
    from torch import Tensor

_CHANNELS = (1, 3, 4)
_SHAPES = f"{VALUES}, of shape (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels"
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the image upright."""
_LONGEST_PROFILE = 150_000  # characters: EXIF data of a JPEG's segment, 64 KB, in hexadecimal digits


def image_of_pil(image: Image.Image, name: str, levels: Levels = None) -> Image.Image:
    """A PIL image of any mode as an upright RGB copy without metadata.

    Raises:
        ImageError: it has too many pixels or none, or is broken.
    """
    check_size(image.size, name)
    try:
        return rgb(image, name, levels)
    except ImageError:
        raise
    except Exception as error:  # a lazy image decodes here, and converting meets palettes and values of any kind
        raise image_error(name, f"a broken image ({error or type(error).__name__})") from error


def is_plain(image: Image.Image) -> bool:
    """Whether an image is RGB already, with nothing attached that `image_of_pil` would apply."""
    return image.mode == "RGB" and not image.info and not image.has_transparency_data and orientation(image) == 1


def rgb(image: Image.Image, name: str, levels: Levels = None, own: bool = False) -> Image.Image:
    """`image_of_pil` without its checks; raises whatever Pillow's plugins raise.

    Args:
        image: of any mode.
        name: of the image, for errors.
        levels: as in `load_image`.
        own: whether nobody else uses the image, so that its pixels need not be copied.
    """
    image.load()
    turn = _UPRIGHT.get(orientation(image))
    if image.mode[0] == "I" or image.mode == "F":
        result = _image_of_deep(image, name, levels)
    elif image.has_transparency_data:
        seen = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        colours = seen.convert("RGB")
        colours.info["icc_profile"] = image.info.get("icc_profile")
        result = Image.new("RGB", image.size, "white")
        result.paste(to_srgb(colours), mask=seen.getchannel("A"))
    else:
        indexed = image.mode in ("P", "PA", "1")
        seen = to_srgb(image.convert("RGB") if indexed else image)
        if seen is image and own and image.mode == "RGB":
            result = Image.Image()._new(image.im)  # the same pixels, without the file's metadata
        else:
            result = seen.convert("RGB")
            result = result.copy() if result is image else result
    if levels is not None and image.mode[0] not in "IF":
        result = Image.fromarray(eight_bits(np.asarray(result), name, levels))
    if turn is not None:
        result = result.transpose(turn)
    result.info = {}  # an orientation that stayed would turn the image a second time
    return result


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) where it cannot be read: a broken note does not spoil the pixels."""
    exif, text = image.info.get("exif"), image.info.get("Raw profile type exif")
    if isinstance(exif, bytes) and exif_excess(exif):
        return 1
    if isinstance(text, str) and len(text) > _LONGEST_PROFILE:
        return 1
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # the same plugins, stumbling over the note
        return 1
    return value if isinstance(value, int) else 1


def image_of_array(array: NDArray[np.generic], name: str, levels: Levels = None) -> Image.Image:
    """An array as an RGB image; channels last where both ends could be channels.

    Raises:
        ImageError: shape or values are not those of an image.
    """
    last = array.ndim == 3 and array.shape[2] in _CHANNELS
    if array.ndim == 3 and not last and array.shape[0] in _CHANNELS:
        array, last = array.transpose(1, 2, 0), True
    if not (array.ndim == 2 or last):
        hint = "; one image at a time, or a list of images: list(batch)" if array.ndim == 4 else ""
        raise image_error(name, f"{array.ndim} axes {array.shape}", _SHAPES + hint)
    check_size((array.shape[1], array.shape[0]), name)
    pixels = eight_bits(array, name, levels)
    return rgb(Image.fromarray(pixels[:, :, 0] if array.shape[2:] == (1,) else pixels), name)


def image_of_tensor(tensor: Tensor, name: str, levels: Levels = None) -> Image.Image:
    """A tensor as an RGB image; channels first where both ends could be channels, as PyTorch has them.

    Raises:
        ImageError: shape or values are not those of an image.
    """
    import torch

    if tensor.is_sparse or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
        raise image_error(name, f"a tensor of {tensor.dtype}, layout {tensor.layout}", _SHAPES)
    tensor = tensor.detach()
    if tensor.dtype in (torch.bfloat16, torch.float16) or (tensor.is_floating_point() and tensor.element_size() == 1):
        tensor = tensor.float()
    if tensor.ndim == 3 and tensor.shape[0] in _CHANNELS:
        tensor = tensor.permute(1, 2, 0)
    return image_of_array(tensor.cpu().numpy(), name, levels)


def _image_of_deep(image: Image.Image, name: str, levels: Levels) -> Image.Image:
    """Pixels of 16 bits (I;16, I), or float in [0, 1] (F), as RGB."""
    values = np.asarray(image)
    if image.mode == "I" and levels is None:
        if values.min() < 0 or values.max() > 65535:
            expected = "integers of 16 bits, in [0, 65535], or levels=(low, high)"
            raise image_error(name, f"values from {values.min()} to {values.max()}", expected)
        values = values.astype(np.uint16)
    grey = eight_bits(values, name, levels)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey = np.where(values == clear, np.uint8(255), grey)
    return Image.fromarray(grey).convert("RGB")
