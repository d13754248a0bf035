"""Random views of an image as parameters: drawn once, stored in a few bytes, replayed to the same pixels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
from PIL import Image

from dinoclip_viz.images.random_crops import RATIO, Box, random_crop

_TRANSLATION = 150.0 / 331.0  # largest translation of RandAugment, as a fraction of the view's side


@dataclass(frozen=True)
class Augmentation:
    """Settings from which views are drawn; the defaults are DataCompDR's (Vasu et al. 2024), which does not flip.

    Attributes:
        size: side of the square view in pixels.
        scale: lowest and highest area of the crop, as fractions of the image's area.
        ratio: lowest and highest width / height of the crop.
        flip: probability of a horizontal flip. Captions that mention left and right do not describe flipped images.
        operations: number of operations of RandAugment (Cubuk et al. 2020) per view; 0 for none.
        magnitude: their magnitude, 0 to 30.

    Raises:
        ValueError: a setting is out of its range.
    """

    size: int = 224
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = RATIO
    flip: float = 0.0
    operations: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        ranges = {
            "size": (1 <= self.size <= 4096, "1 to 4096"),
            "scale": (0 < self.scale[0] <= self.scale[1] <= 1, "0 < low <= high <= 1"),
            "ratio": (0 < self.ratio[0] <= self.ratio[1], "0 < low <= high"),
            "flip": (0 <= self.flip <= 1, "0 to 1"),
            "operations": (0 <= self.operations <= 8, "0 to 8"),
            "magnitude": (0 <= self.magnitude <= 30, "0 to 30"),
        }
        for name, (right, expected) in ranges.items():
            if not right:
                raise ValueError(f"{name} of the views is {getattr(self, name)}; expected {expected}")


@dataclass(frozen=True)
class View:
    """Parameters of one view.

    Attributes:
        box: the crop: top, left, height and width in pixels of the image.
        flip: whether the crop is flipped horizontally.
        operations: index in `OPERATIONS` and magnitude of each operation, in the order of their application.
    """

    box: Box
    flip: bool = False
    operations: tuple[tuple[int, float], ...] = ()


def draw_view(size: tuple[int, int], augmentation: Augmentation, seed: int, key: str, number: int) -> View:
    """The parameters of view `number` of an image, determined by the arguments alone.

    The crop is drawn as torchvision's RandomResizedCrop draws it, the operations as its RandAugment.

    Args:
        size: width and height of the image in pixels.
        augmentation: the settings.
        seed: of the store, 0 or more.
        key: of the image.
        number: of the view, 0 or more.
    """
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    words = [int.from_bytes(digest[start : start + 4], "big") for start in range(0, 16, 4)]
    chance = np.random.default_rng([seed, number, *words])
    box = random_crop(*size, chance, augmentation.scale, augmentation.ratio)
    flip = bool(chance.random() < augmentation.flip)
    drawn = tuple(_operation(augmentation, chance) for _ in range(augmentation.operations))
    return View(box, flip, drawn)


def replay(image: Image.Image, view: View, size: int) -> Image.Image:
    """The (size, size) RGB view of an image; equal arguments and library versions give equal pixels.

    Crop and bicubic resize, flip, then the operations with nearest neighbours and black corners, on PIL images: the
    published replay of DataCompDR.

    Args:
        image: RGB image.
        view: parameters of the view.
        size: side of the view in pixels.

    Raises:
        ValueError: the crop is not inside the image.
    """
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    top, left, height, width = view.box
    if min(top, left) < 0 or min(height, width) < 1 or top + height > image.height or left + width > image.width:
        raise ValueError(f"the crop {view.box} is not inside an image of {image.width} x {image.height} pixels")
    seen: Image.Image = F.resized_crop(
        image.convert("RGB"), top, left, height, width, [size, size], InterpolationMode.BICUBIC
    )
    if view.flip:
        seen = F.horizontal_flip(seen)
    for index, magnitude in view.operations:
        seen = list(OPERATIONS.values())[index](seen, magnitude)
    return seen


def pixel_hash(views: Sequence[Image.Image]) -> str:
    """SHA-256 of the pixels of the views, in hexadecimal digits."""
    digest = hashlib.sha256()
    for view in views:
        digest.update(np.asarray(view).tobytes())
    return digest.hexdigest()


def libraries() -> dict[str, str]:
    """Versions of the libraries and the interpolation that the pixels of a view depend on, as the manifest has them."""
    named = {name: version(name) for name in ("pillow", "torchvision", "numpy")}
    return {**named, "interpolation": "bicubic", "operations_interpolation": "nearest"}


def packed(view: View, flips: bool = False) -> list[object]:
    """The parameters as DataCompDR stores them: [box, operations], or [box, flip, operations].

    Args:
        view: the parameters.
        flips: whether the set has flips; then every view has the second form.

    Examples:
        >>> packed(View((0, 4, 60, 50), False, ((6, 0.27), (0, 0.0))))
        [[0, 4, 60, 50], [[6, 0.27], [0, 0.0]]]
    """
    operations = [list(each) for each in view.operations]
    return [list(view.box), *([view.flip] if flips else []), operations]


def unpacked(values: object) -> View:
    """The parameters of a view from DataCompDR's form; operations may be null, where the set skipped them.

    Raises:
        ValueError: they have another form.

    Examples:
        >>> unpacked([[0, 4, 60, 50], [[6, 0.27], [0, 0.0]]]).box
        (0, 4, 60, 50)
    """
    try:
        parts = list(values)  # type: ignore[call-overload]
        if len(parts) not in (2, 3):
            raise ValueError(f"{len(parts)} parts")
        box, operations = parts[0], parts[-1]
        flip = parts[1] if len(parts) == 3 else False
        top, left, height, width = box
        drawn = tuple((int(index), float(magnitude)) for index, magnitude in operations or ())
        right = isinstance(flip, bool) and all(0 <= index < len(OPERATIONS) for index, _ in drawn)
        if not right or not all(math.isfinite(magnitude) for _, magnitude in drawn):
            raise ValueError("an operation or a flip out of range")
        return View((int(top), int(left), int(height), int(width)), flip, drawn)
    except (ValueError, TypeError) as error:
        shown = repr(values)[:80]
        raise ValueError(f"{shown} are no parameters of a view ({error}); expected [box, operations]") from error


def described(augmentation: Augmentation) -> dict[str, object]:
    """The settings as JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(augmentation).items()}


# Operations


def _operation(augmentation: Augmentation, chance: np.random.Generator) -> tuple[int, float]:
    index = int(chance.integers(len(OPERATIONS)))
    name = list(OPERATIONS)[index]
    strength = augmentation.magnitude / 30
    magnitude = {
        "ShearX": 0.3 * strength,
        "ShearY": 0.3 * strength,
        "TranslateX": _TRANSLATION * augmentation.size * strength,
        "TranslateY": _TRANSLATION * augmentation.size * strength,
        "Rotate": 30.0 * strength,
        "Posterize": 8.0 - round(4 * strength),
        "Solarize": 255.0 * (1 - strength),
        **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 0.9 * strength),
    }.get(name, 0.0)
    signed = name not in ("Identity", "Posterize", "Solarize", "AutoContrast", "Equalize")
    sign = -1.0 if signed and chance.random() < 0.5 else 1.0
    return index, float(np.float32(sign * magnitude))  # as stored


def _moved(image: Image.Image, shear: tuple[float, float], translate: tuple[int, int]) -> Image.Image:
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    degrees = [math.degrees(math.atan(each)) for each in shear]
    center = [0.0, 0.0] if any(shear) else None
    moved: Image.Image = F.affine(image, 0.0, list(translate), 1.0, degrees, InterpolationMode.NEAREST, None, center)
    return moved


def _by(name: str, plus: float | None = None, whole: bool = False) -> Callable[[Image.Image, float], Image.Image]:
    """A function of torchvision by name; its second argument is the magnitude, plus a number if one is given."""

    def apply(image: Image.Image, magnitude: float) -> Image.Image:
        from torchvision.transforms.v2 import functional as F

        value = int(magnitude) if whole else magnitude + (plus or 0.0)
        done: Image.Image = getattr(F, name)(image, value)
        return done

    return apply


def _plain(name: str) -> Callable[[Image.Image, float], Image.Image]:
    """A function of torchvision without a magnitude."""

    def apply(image: Image.Image, _: float) -> Image.Image:
        from torchvision.transforms.v2 import functional as F

        done: Image.Image = getattr(F, name)(image)
        return done

    return apply


OPERATIONS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "Identity": lambda image, _: image,
    "ShearX": lambda image, magnitude: _moved(image, (magnitude, 0.0), (0, 0)),
    "ShearY": lambda image, magnitude: _moved(image, (0.0, magnitude), (0, 0)),
    "TranslateX": lambda image, magnitude: _moved(image, (0.0, 0.0), (int(magnitude), 0)),
    "TranslateY": lambda image, magnitude: _moved(image, (0.0, 0.0), (0, int(magnitude))),
    "Rotate": _by("rotate"),
    "Brightness": _by("adjust_brightness", plus=1.0),
    "Color": _by("adjust_saturation", plus=1.0),
    "Contrast": _by("adjust_contrast", plus=1.0),
    "Sharpness": _by("adjust_sharpness", plus=1.0),
    "Posterize": _by("posterize", whole=True),
    "Solarize": _by("solarize"),
    "AutoContrast": _plain("autocontrast"),
    "Equalize": _plain("equalize"),
}
"""RandAugment's operations in the published order: name -> function of an image and a magnitude."""
