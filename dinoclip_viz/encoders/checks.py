"""What every encoder promises, checked: in the spirit of scikit-learn's check_estimator.

Whoever writes an encoder of their own runs these; each broken promise raises one line that names it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, TextEncoder, same_space

_TOLERANCE = 1e-4  # an image alone against the same image in a batch, relative to the largest value
_IMAGE_ATTRIBUTES = (
    *("name", "space", "patch_space", "dimension", "patch_dimension", "patch", "size", "methods", "device", "dtype"),
    *("encode", "encode_each"),
)
_TEXT_ATTRIBUTES = ("name", "space", "dimension", "templates", "logit_scale", "device", "dtype", "encode")


class ContractError(Exception):
    """An encoder breaks a promise of the contract in `dinoclip_viz.encoders.base`."""


def check_image_encoder(encoder: ImageEncoder) -> None:
    """Nothing, if the encoder keeps every promise of `ImageEncoder`.

    Args:
        encoder: anything that claims to be an image encoder.

    Raises:
        ContractError: the first broken promise.
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
    _same(features, encoder.encode(images, methods=encoder.methods), 0.0, "the same images gave other features")
    _same(features[2], encoder.encode([images[2]], methods=encoder.methods), _TOLERANCE, "an image alone differs")
    _same(
        features,
        encoder.encode(images, methods=encoder.methods, batch_size=3),
        _TOLERANCE,
        "another batch_size changes features",
    )
    _expect(not torch.allclose(features.pooled[0], features.pooled[1]), "two different images have the same vector")
    _whole(encoder, images)
    _small(encoder)
    _refusals(encoder, images)


def check_text_encoder(encoder: TextEncoder) -> None:
    """Nothing, if the encoder keeps every promise of `TextEncoder`.

    Args:
        encoder: anything that claims to be a text encoder.

    Raises:
        ContractError: the first broken promise.
    """
    _attributes(encoder, _TEXT_ATTRIBUTES)
    _expect(len(encoder.templates) > 0, "templates is empty; expected at least one")
    for template in encoder.templates:
        _expect(template.count("{}") == 1, f"template {template!r} has not exactly one {{}}")
    _expect(encoder.logit_scale > 0, f"logit_scale is {encoder.logit_scale}; expected more than 0")
    # the words are such as any tokenizer tells apart, the playground's own among them
    texts = ["cat", "a red dog and a tree", "bird"]
    features = encoder.encode(texts)
    shape = (len(texts), encoder.dimension)
    _expect(tuple(features.pooled.shape) == shape, f"pooled is {tuple(features.pooled.shape)}; expected {shape}")
    _plain(features.pooled, "pooled")
    _expect(features.space == encoder.space, f"features are in {features.space!r}, the encoder in {encoder.space!r}")
    _expect(torch.equal(features.pooled, encoder.encode(texts).pooled), "the same texts gave other vectors")
    _close(features.pooled[:1], encoder.encode(texts[:1]).pooled, _TOLERANCE, "a text alone differs from it in a batch")
    small = encoder.encode(texts, batch_size=1).pooled
    _close(features.pooled, small, _TOLERANCE, "another batch_size changes vectors")
    _expect(not torch.allclose(features.pooled[0], features.pooled[1]), "two different texts have the same vector")
    long = encoder.encode(["a cat and a dog " * 200]).pooled
    _plain(long, "the vector of a text longer than the model reads")
    _raises(lambda: encoder.encode([]), "an empty list of texts")
    _raises(lambda: encoder.encode(["cat", "  "]), "an empty text")


def _whole(encoder: ImageEncoder, images: list[Image.Image]) -> None:
    """fit="whole" keeps all of each image, in order, whatever the grids."""
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
        _same(features, alone, _TOLERANCE, f"encode_each gives image {index} other features than encode")


def _small(encoder: ImageEncoder) -> None:
    """Other sizes than the published one work, down to one patch; so do images smaller than that."""
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
    _expect("encode_each" in message, f"the error for images of two grids does not name encode_each: {message}")
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
        _expect(inside, f"{what}: box {box.tolist()} does not lie in the image of {image.size}")


def _spaces(encoder: ImageEncoder, features: ImageFeatures, what: str) -> None:
    for name in ("space", "patch_space"):
        try:
            same_space(getattr(encoder, name), getattr(features, name))
        except ValueError as error:
            raise ContractError(f"{what}: {name} of the features is not the encoder's: {error}") from error


def _attributes(encoder: object, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not hasattr(encoder, name)]
    _expect(not missing, f"{type(encoder).__name__} lacks {', '.join(missing)}")


def _plain(tensor: Tensor, what: str) -> None:
    _expect(tensor.dtype == torch.float32, f"{what} is {tensor.dtype}; expected torch.float32")
    _expect(tensor.device.type == "cpu", f"{what} is on {tensor.device}; expected the CPU")
    _expect(not tensor.requires_grad, f"{what} carries a gradient")
    _expect(not tensor.is_inference(), f"{what} is an inference tensor, so nothing can be trained on it; clone it")
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
    _expect(worst <= allowed, f"{what}: largest difference {worst:.2g}; expected at most {allowed:.2g}")


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
