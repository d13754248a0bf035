"""Batched image and text encoders around the models of any library; features are returned on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.dense.reader import EXTRAS, BlockReader
from dinoclip_viz.encoders.base import Fit, ImageFeatures, TextFeatures, concatenate
from dinoclip_viz.encoders.towers.blocks import Blocks
from dinoclip_viz.encoders.towers.preprocessing import Plan, Preprocessing
from dinoclip_viz.images import ImagesLike, load_images


@dataclass(frozen=True)
class TowerOutput:
    """Output of a vision model for one batch, on its device and in its dtype.

    Attributes:
        pooled: (B, D) pooled vectors.
        mean: (B, D') mean of all tokens.
        patches: (B, H * W, D') patch tokens, row by row.
        dense: heat-map method -> (B, H * W, D) patches.
    """

    pooled: Tensor
    mean: Tensor
    patches: Tensor
    dense: Mapping[str, Tensor] = field(default_factory=dict)


Tower = Callable[[Tensor, tuple[int, int], Sequence[str]], TowerOutput]
"""Pixels (B, 3, height, width), rows and columns of patches, and heat-map methods to fill -> TowerOutput."""


@dataclass(eq=False)
class BatchedImageEncoder:
    """An `ImageEncoder` around a vision model; attributes as documented there."""

    name: str
    space: str
    patch_space: str
    dimension: int
    patch_dimension: int
    patch: int
    methods: tuple[str, ...]
    device: torch.device
    dtype: torch.dtype
    preprocessing: Preprocessing = field(repr=False)
    tower: Tower = field(repr=False)
    reader: BlockReader | None = field(default=None, repr=False)
    revision: str | None = None
    blocks: Blocks | None = field(default=None, repr=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.preprocessing.size

    @property
    def processor(self) -> str:
        """Library that resizes and normalises the images: "pil" or "torchvision"."""
        return "pil" if self.preprocessing.squares is None else "torchvision"

    def encode(
        self,
        images: ImagesLike,
        size: int | None = None,
        fit: Fit = "crop",
        methods: Sequence[str] = (),
        batch_size: int = 32,
    ) -> ImageFeatures:
        """Features of images with a common patch grid; see `ImageEncoder.encode`."""
        images = load_images(images)
        plans = self._plans(images, size, fit, methods, batch_size)
        self._check_one_grid(plans, "use encode_each, or fit='crop'")
        return concatenate(list(self._run(images, plans, _runs(range(len(images)), batch_size), methods)))

    def encode_each(
        self,
        images: ImagesLike,
        size: int | None = None,
        fit: Fit = "whole",
        methods: Sequence[str] = (),
        batch_size: int = 32,
    ) -> list[ImageFeatures]:
        """One ImageFeatures per image, in order; see `ImageEncoder.encode_each`."""
        images = load_images(images)
        plans = self._plans(images, size, fit, methods, batch_size)
        shapes: dict[tuple[int, int], list[int]] = {}
        for index, plan in enumerate(plans):
            shapes.setdefault(plan.shape, []).append(index)
        batches = [batch for indices in shapes.values() for batch in _runs(indices, batch_size)]
        each: dict[int, ImageFeatures] = {}
        for batch, features in zip(batches, self._run(images, plans, batches, methods), strict=True):
            # a copy, so that keeping one image does not keep the memory of its batch
            each.update((index, concatenate([features[row]])) for row, index in enumerate(batch))
        return [each[index] for index in range(len(images))]

    def inputs(self, images: ImagesLike, size: int | None = None, fit: Fit = "crop") -> tuple[list[Plan], Tensor]:
        """Preprocessing plans of images with a common patch grid, and the input (B, 3, height, width) of the model.

        Raises:
            ImageError: there is no image, or one cannot be read.
            ValueError: the patch grids differ, or `encode` does not accept `size` or `fit`.
        """
        images = load_images(images)
        plans = self._plans(images, size, fit)
        self._check_one_grid(plans, "use one image at a time, or fit='crop'")
        return plans, self.preprocessing.pixels(images, plans)

    def _check_one_grid(self, plans: Sequence[Plan], instead: str) -> None:
        if not plans:
            raise ValueError("found no image; expected at least one")
        shapes = sorted({plan.shape for plan in plans})
        if len(shapes) > 1:
            named = ", ".join(f"{height // self.patch} x {width // self.patch}" for width, height in shapes[:4])
            raise ValueError(f"found {len(shapes)} different patch grids ({named}); expected one; {instead}")

    def _plans(
        self,
        images: Sequence[Image.Image],
        size: int | None,
        fit: Fit,
        methods: Sequence[str] = (),
        batch_size: int = 1,
    ) -> list[Plan]:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; expected 1 or more")
        known = (*self.methods, *(EXTRAS if self.reader else ()))
        unknown = [method for method in methods if method not in known]
        if unknown:
            served = ", ".join(self.methods) or "none"
            raise ValueError(
                f"{self.name} does not serve the heat-map method {unknown[0]!r}; expected one of: {served}"
            )
        return [self.preprocessing.plan(image.size, self.patch, size, fit) for image in images]

    def _run(
        self,
        images: Sequence[Image.Image],
        plans: Sequence[Plan],
        batches: Sequence[Sequence[int]],
        methods: Sequence[str],
    ) -> Iterator[ImageFeatures]:
        def prepare(batch: Sequence[int]) -> Tensor:
            return self.preprocessing.pixels([images[index] for index in batch], [plans[index] for index in batch])

        for batch, pixels in zip(batches, _ahead(prepare, batches), strict=True):
            yield self._features(
                [images[index].size for index in batch], [plans[index] for index in batch], pixels, methods
            )

    def _features(
        self, sizes: Sequence[tuple[int, int]], plans: Sequence[Plan], pixels: Tensor, methods: Sequence[str]
    ) -> ImageFeatures:
        count, _, height, width = pixels.shape
        rows, columns = height // self.patch, width // self.patch
        with torch.no_grad():  # not inference_mode, so that features can be trained on
            output = self.tower(pixels.to(self.device, self.dtype), (rows, columns), methods)

        def on_grid(patches: Tensor) -> Tensor:
            return _plain(patches).reshape(count, rows, columns, -1)  # (B, H, W, D)

        return ImageFeatures(
            pooled=_plain(output.pooled),
            mean=_plain(output.mean),
            patches=on_grid(output.patches),
            boxes=torch.tensor([plan.box for plan in plans], dtype=torch.float32),
            sizes=torch.tensor(sizes),
            space=self.space,
            patch_space=self.patch_space,
            dense={method: on_grid(patches) for method, patches in output.dense.items()},
        )


@dataclass(eq=False)
class BatchedTextEncoder:
    """A `TextEncoder` around a text model; attributes as documented there."""

    name: str
    space: str
    dimension: int
    templates: tuple[str, ...]
    logit_scale: float
    device: torch.device
    dtype: torch.dtype
    tower: Callable[[list[str]], Tensor] = field(repr=False)
    revision: str | None = None

    def encode(self, texts: Sequence[str], batch_size: int = 256) -> TextFeatures:
        """Unnormalised vectors of texts; see `TextEncoder.encode`."""
        if isinstance(texts, str):
            raise ValueError(f"found one string, {texts[:40]!r}; expected a list of texts")
        if len(texts) == 0:
            raise ValueError("found no text; expected at least one")
        empty = [index for index, text in enumerate(texts) if not text.strip()]
        if empty:
            raise ValueError(f"text {empty[0]} of {len(texts)} is empty; expected one or more words")
        with torch.no_grad():
            parts = [
                _plain(self.tower([texts[index] for index in batch])) for batch in _runs(range(len(texts)), batch_size)
            ]
        return TextFeatures(pooled=torch.cat(parts), space=self.space)


def _plain(tensor: Tensor) -> Tensor:
    """The tensor as float32 on the CPU."""
    return tensor.to("cpu", torch.float32)


def _runs(indices: Sequence[int], length: int) -> list[Sequence[int]]:
    return [indices[start : start + length] for start in range(0, len(indices), length)]


def _ahead(prepare: Callable[[Sequence[int]], Tensor], batches: Sequence[Sequence[int]]) -> Iterator[Tensor]:
    """Prepared batches in order; a thread prepares the next one while one is in use."""
    if len(batches) < 2:  # nothing to overlap
        yield from map(prepare, batches)
        return
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(prepare, batches[0])
        for batch in batches[1:]:
            ready = coming.result()
            coming = thread.submit(prepare, batch)
            yield ready
        yield coming.result()
