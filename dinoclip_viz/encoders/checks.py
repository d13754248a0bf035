"""Tests of the encoder interfaces, for custom encoders; compare scikit-learn's `check_estimator`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, TextEncoder, same_space

_TOLERANCE = 1e-4  # of one image alone and in a batch, relative to the largest value
_IMAGE_ATTRIBUTES = (
    *("name", "space", "patch_space", "dimension", "patch_dimension", "patch", "size", "methods", "reader"),
    *("device", "dtype", "encode", "encode_each"),
)
_TEXT_ATTRIBUTES = ("name", "space", "dimension", "templates", "logit_scale", "device", "dtype", "encode")


class ContractError(Exception):
    """An encoder does not follow its interface in `dinoclip_viz.encoders.base`."""


def check_image_encoder(encoder: ImageEncoder) -> None:
    """Test that an object follows `ImageEncoder`.

    Args:
        encoder: the object to test.

    Raises:
        ContractError: it does not; the message names the first violation.
    """
    _attributes(encoder, _IMAGE_ATTRIBUTES)
    side = encoder.size
    images = [
        _image(side * 3 // 2, side, 1),
        _image(side, side * 3 // 2, 2),
        _image(side + 13, side // 2 + 7, 3),
        _image(side, side, 4),
    ]
    features = encoder.encode(images, methods=encoder.methods)
    _shapes(encoder, features, images, f"encode of {len(images)} images")
    grid = (side // encoder.patch, side // encoder.patch)
    _expect(features.grid == grid, f"fit='crop' gave the grid {features.grid}; expected {grid}")
    _same(features, encoder.encode(images, methods=encoder.methods), 0.0, "the same images gave different features")
    _same(
        features[2],
        encoder.encode([images[2]], methods=encoder.methods),
        _TOLERANCE,
        "an image alone and in a batch differ",
    )
    _same(
        features,
        encoder.encode(images, methods=encoder.methods, batch_size=3),
        _TOLERANCE,
        "batch_size changes the features",
    )
    _expect(not torch.allclose(features.pooled[0], features.pooled[1]), "two different images have the same vector")
    _whole(encoder, images)
    _small(encoder)
    _refusals(encoder, images)


def check_text_encoder(encoder: TextEncoder) -> None:
    """Test that an object follows `TextEncoder`.

    Args:
        encoder: the object to test.

    Raises:
        ContractError: it does not; the message names the first violation.
    """
    _attributes(encoder, _TEXT_ATTRIBUTES)
    _expect(len(encoder.templates) > 0, "templates is empty; expected at least one")
    for template in encoder.templates:
        _expect(template.count("{}") == 1, f"found template {template!r}; expected exactly one {{}}")
    _expect(encoder.logit_scale > 0, f"logit_scale is {encoder.logit_scale}; expected more than 0")
    # words that are in every vocabulary, the playground's among them
    texts = ["cat", "a red dog and a tree", "bird"]
    features = encoder.encode(texts)
    shape = (len(texts), encoder.dimension)
    _expect(tuple(features.pooled.shape) == shape, f"pooled is {tuple(features.pooled.shape)}; expected {shape}")
    _plain(features.pooled, "pooled")
    _expect(features.space == encoder.space, f"features are in {features.space!r}, the encoder in {encoder.space!r}")
    _expect(torch.equal(features.pooled, encoder.encode(texts).pooled), "the same texts gave different vectors")
    _close(features.pooled[:1], encoder.encode(texts[:1]).pooled, _TOLERANCE, "a text alone and in a batch differ")
    small = encoder.encode(texts, batch_size=1).pooled
    _close(features.pooled, small, _TOLERANCE, "batch_size changes the vectors")
    _expect(not torch.allclose(features.pooled[0], features.pooled[1]), "two different texts have the same vector")
    long = encoder.encode(["a cat and a dog " * 200]).pooled
    _plain(long, "the vector of a text longer than the context length")
    _raises(lambda: encoder.encode([]), "an empty list of texts")
    _raises(lambda: encoder.encode(["cat", "  "]), "an empty text")


def _whole(encoder: ImageEncoder, images: list[Image.Image]) -> None:
    """Test that fit="whole" covers the whole of each image, in order, with different grids."""
    longer = 2 * encoder.size
    each = encoder.encode_each(images, size=longer, methods=encoder.methods)
    _expect(len(each) == len(images), f"encode_each of {len(images)} images gave {len(each)}")
    for index, (image, features) in enumerate(zip(images, each, strict=True)):
        _shapes(encoder, features, [image], f"encode_each, image {index}")
        box, whole = features.boxes[0].tolist(), [0.0, 0.0, float(image.width), float(image.height)]
        _expect(box == whole, f"fit='whole' covers {box} of image {index}; expected {whole}")
        wide = (features.grid[1] >= features.grid[0]) == (image.width >= image.height)
        _expect(wide, f"image {index} is {image.size}, its grid {features.grid}; H and W may be swapped")
        alone = encoder.encode([image], size=longer, fit="whole", methods=encoder.methods)
        _same(features, alone, _TOLERANCE, f"encode_each and encode differ for image {index}")


def _small(encoder: ImageEncoder) -> None:
    """Test sizes down to one patch, and images smaller than a patch."""
    tiny = [_image(5, 9, 5)]
    for size in (encoder.patch, 2 * encoder.patch + 1):
        features = encoder.encode(tiny, size=size)
        cells = size // encoder.patch
        _expect(
            features.grid == (cells, cells), f"size={size} gave the grid {features.grid}; expected {cells} x {cells}"
        )
        _shapes(encoder, features, tiny, f"size={size}")


def _refusals(encoder: ImageEncoder, images: list[Image.Image]) -> None:
    _raises(lambda: encoder.encode([]), "an empty list of images")
    message = _raises(lambda: encoder.encode(images[:2], size=2 * encoder.size, fit="whole"), "images of two grids")
    _expect("encode_each" in message, f"the error for different grids does not name encode_each: {message}")
    _raises(lambda: encoder.encode(images, size=encoder.patch - 1), "a size smaller than a patch")
    _raises(lambda: encoder.encode(images, size=1025), "a size above 1024")
    _raises(lambda: encoder.encode(images, methods=["no-such-method"]), "an unknown heat-map method")
    _raises(lambda: encoder.encode(images, fit="no-such-fit"), "an unknown fit")  # type: ignore[arg-type]


def _shapes(encoder: ImageEncoder, features: ImageFeatures, images: list[Image.Image], what: str) -> None:
    count, (rows, columns) = len(images), features.grid
    expected = {
        "pooled": (count, encoder.dimension),
        "mean": (count, encoder.patch_dimension),
        "patches": (count, rows, columns, encoder.patch_dimension),
        "boxes": (count, 4),
        "sizes": (count, 2),
    }
    for name, shape in expected.items():
        actual = tuple(getattr(features, name).shape)
        _expect(actual == shape, f"{what}: {name} is {actual}; expected {shape}")
    for name in ("pooled", "mean", "patches", "boxes"):
        _plain(getattr(features, name), f"{what}: {name}")
    for method, patches in features.dense.items():
        shape = (count, rows, columns, encoder.dimension)
        _expect(tuple(patches.shape) == shape, f"{what}: dense[{method!r}] is {tuple(patches.shape)}; expected {shape}")
        _plain(patches, f"{what}: dense[{method!r}]")
    _spaces(encoder, features, what)
    for index, (image, box, size) in enumerate(zip(images, features.boxes, features.sizes, strict=True)):
        _expect(tuple(size.tolist()) == image.size, f"{what}: sizes[{index}] is {size.tolist()}; expected {image.size}")
        x0, y0, x1, y1 = box.tolist()
        inside = 0 <= x0 < x1 <= image.width + 1e-3 and 0 <= y0 < y1 <= image.height + 1e-3
        _expect(inside, f"{what}: found box {box.tolist()}; expected one inside the image, {image.size}")


def _spaces(encoder: ImageEncoder, features: ImageFeatures, what: str) -> None:
    for name in ("space", "patch_space"):
        try:
            same_space(getattr(encoder, name), getattr(features, name))
        except ValueError as error:
            raise ContractError(f"{what}: {name} of the features differs from the encoder's: {error}") from error


def _attributes(encoder: object, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not hasattr(encoder, name)]
    _expect(not missing, f"{type(encoder).__name__} lacks {', '.join(missing)}")


def _plain(tensor: Tensor, what: str) -> None:
    _expect(tensor.dtype == torch.float32, f"{what} is {tensor.dtype}; expected torch.float32")
    _expect(tensor.device.type == "cpu", f"{what} is on {tensor.device}; expected the CPU")
    _expect(not tensor.requires_grad, f"{what} requires a gradient")
    _expect(not tensor.is_inference(), f"{what} is an inference tensor, which cannot be trained on; clone it")
    _expect(bool(torch.isfinite(tensor).all()), f"{what} has values that are not finite")


def _same(left: ImageFeatures, right: ImageFeatures, tolerance: float, what: str) -> None:
    for name in ("pooled", "mean", "patches"):
        _close(getattr(left, name), getattr(right, name), tolerance, f"{what} ({name})")
    for method in left.dense:
        _close(left.dense[method], right.dense[method], tolerance, f"{what} (dense[{method!r}])")


def _close(left: Tensor, right: Tensor, tolerance: float, what: str) -> None:
    _expect(left.shape == right.shape, f"{what}: shapes {tuple(left.shape)} and {tuple(right.shape)}")
    worst = float((left - right).abs().max())
    allowed = tolerance * max(1.0, float(left.abs().max()))
    _expect(worst <= allowed, f"{what}: maximum difference {worst:.2g}; expected {allowed:.2g} or less")


def _raises(call: Callable[[], object], what: str) -> str:
    try:
        call()
    except ValueError as error:
        return str(error)
    raise ContractError(f"{what} is accepted; expected a ValueError")


def _expect(kept: bool, broken: str) -> None:
    if not kept:
        raise ContractError(broken)


def _image(width: int, height: int, seed: int) -> Image.Image:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, (6, 6, 3), generator=generator, dtype=torch.uint8).numpy()
    return Image.fromarray(noise).resize((max(width, 1), max(height, 1)), Image.Resampling.BICUBIC)
