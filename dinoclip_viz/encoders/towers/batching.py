"""Batched image and text encoders around the models of any library; features are returned on the CPU."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dinoclip_viz.dense.reader import EXTRAS, BlockReader
from dinoclip_viz.encoders.base import EncoderError, Fit, ImageFeatures, TextFeatures, TokenFeatures, concatenate
from dinoclip_viz.encoders.towers.blocks import Blocks
from dinoclip_viz.encoders.towers.memory import Halving
from dinoclip_viz.encoders.towers.preprocessing import Preprocessing, Recipe
from dinoclip_viz.images import ImagesLike, load_images
from dinoclip_viz.images.crops import Plan

_THREADS = 16  # that prepare images


@dataclass(frozen=True)
class TowerOutput:
    """Output of a vision model for one batch, on its device and in its dtype.

    Attributes:
        pooled: (B, D) pooled vectors.
        mean: (B, D') mean of all tokens.
        patches: (B, H * W, D') patch tokens, row by row; of `BatchedImageEncoder.forward`, (B, H, W, D').
        dense: heat-map method -> (B, H * W, D) patches; of `BatchedImageEncoder.forward`, (B, H, W, D).
    """

    pooled: Tensor
    mean: Tensor
    patches: Tensor
    dense: Mapping[str, Tensor] = field(default_factory=dict)


def join_outputs(parts: Sequence[TowerOutput]) -> TowerOutput:
    """Concatenate outputs along the axis B."""
    first = parts[0]
    return TowerOutput(
        torch.cat([part.pooled for part in parts]),
        torch.cat([part.mean for part in parts]),
        torch.cat([part.patches for part in parts]),
        {method: torch.cat([part.dense[method] for part in parts]) for method in first.dense},
    )


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
    _halving: Halving[TowerOutput] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.size = self.preprocessing.size
        self._halving = Halving(self.name, join_outputs)

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

    def recipe(self, size: int | None = None, fit: Fit = "crop") -> Recipe:
        """The part of preprocessing that runs before images are batched; arguments as in `ImageEncoder.encode`."""
        return self.preprocessing.recipe(self.patch, size, fit)

    def forward(self, inputs: Tensor, methods: Sequence[str] = ()) -> TowerOutput:
        """Output of the model for one batch, on its device and in its dtype, patches on their grid (B, H, W, D).

        A batch that exceeds the memory of the device is halved until it fits, with a warning.

        Args:
            inputs: (B, ...) arrays of the recipe, stacked, on any device.
            methods: heat-map methods to fill `dense` for.
        """
        return self._halving(lambda some: self._forward(some, methods), inputs)

    def compiled(self, backend: str = "inductor") -> BatchedImageEncoder:
        """The same encoder with its model compiled by `torch.compile` at its first batch.

        Worth its minute of compilation in long runs on CUDA; features differ within the rounding of the dtype.

        Args:
            backend: of `torch.compile`.
        """
        return replace(self, tower=torch.compile(self.tower, backend=backend))

    def _forward(self, inputs: Tensor, methods: Sequence[str]) -> TowerOutput:
        with torch.no_grad():  # not inference_mode, so that features can be trained on
            moved = inputs.to(self.device, non_blocking=True)
            pixels = self.preprocessing.normalised(moved, self.dtype)
            rows, columns = pixels.shape[2] // self.patch, pixels.shape[3] // self.patch
            output = self.tower(pixels, (rows, columns), methods)

        def on_grid(patches: Tensor) -> Tensor:
            return patches.reshape(len(pixels), rows, columns, -1)

        dense = {method: on_grid(patches) for method, patches in output.dense.items()}
        return TowerOutput(output.pooled, output.mean, on_grid(output.patches), dense)

    def features(self, output: TowerOutput, plans: Sequence[Plan], sizes: Sequence[tuple[int, int]]) -> ImageFeatures:
        """Features of a batch on the CPU.

        Args:
            output: of `forward`.
            plans: of the images.
            sizes: width and height of each image in pixels.
        """
        return ImageFeatures(
            pooled=_plain(output.pooled),
            mean=_plain(output.mean),
            patches=_plain(output.patches),
            boxes=torch.tensor([plan.box for plan in plans], dtype=torch.float32),
            sizes=torch.tensor(sizes),
            space=self.space,
            patch_space=self.patch_space,
            dense={method: _plain(patches) for method, patches in output.dense.items()},
        )

    def _run(
        self,
        images: Sequence[Image.Image],
        plans: Sequence[Plan],
        batches: Sequence[Sequence[int]],
        methods: Sequence[str],
    ) -> Iterator[ImageFeatures]:
        fit: Fit = "whole" if plans[0].crop is None else "crop"
        recipe = self.recipe(None, fit)
        for batch, inputs in zip(batches, _ahead(recipe, images, plans, batches), strict=True):
            chosen = [plans[index] for index in batch]
            yield self.features(self.forward(inputs, methods), chosen, [images[index].size for index in batch])


TokenTower = Callable[[list[str]], tuple[Tensor, Tensor, Tensor]]
"""Texts -> (T, E) pooled vectors, (T, L, D) token vectors, and (T, L) 1 for a token and 0 for padding."""


@dataclass(eq=False)
class BatchedTextEncoder:
    """A `TokenTextEncoder` around a text model; attributes as documented there and in `TextEncoder`.

    `embedding` is the layer from token numbers to vectors, through which learnt vectors enter the model (`context.py`);
    None if it cannot be reached.
    """

    name: str
    space: str
    dimension: int
    templates: tuple[str, ...]
    logit_scale: float
    device: torch.device
    dtype: torch.dtype
    tower: Callable[[list[str]], Tensor] = field(repr=False)
    revision: str | None = None
    token_dimension: int = 0
    token_tower: TokenTower | None = field(default=None, repr=False)
    embedding: nn.Module | None = field(default=None, repr=False)

    def encode(self, texts: Sequence[str], batch_size: int = 256) -> TextFeatures:
        """Unnormalised vectors of texts; see `TextEncoder.encode`."""
        _check_texts(texts)
        with torch.no_grad():
            parts = [
                _plain(self.tower([texts[index] for index in batch])) for batch in _runs(range(len(texts)), batch_size)
            ]
        return TextFeatures(pooled=torch.cat(parts), space=self.space)

    def encode_tokens(self, texts: Sequence[str], batch_size: int = 256) -> TokenFeatures:
        """Token vectors of texts; see `TokenTextEncoder.encode_tokens`."""
        if self.token_tower is None:
            raise EncoderError(f"{self.name} has no token vectors to give; expected a text model of transformers")
        _check_texts(texts)
        pooled, values, counts = list[Tensor](), list[Tensor](), list[Tensor]()
        with torch.no_grad():
            for batch in _runs(range(len(texts)), batch_size):
                whole, tokens, mask = self.token_tower([texts[index] for index in batch])
                pooled.append(_plain(whole))
                values.append(_plain(tokens[mask.bool()]))  # (n, D), the texts in order
                counts.append(mask.sum(1).to("cpu", torch.int64))
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cat(counts).cumsum(0)])
        return TokenFeatures(torch.cat(values), offsets, torch.cat(pooled), self.space)


def _check_texts(texts: Sequence[str]) -> None:
    """Check that there is a text and none is empty.

    Raises:
        ValueError: otherwise.
    """
    if isinstance(texts, str):
        raise ValueError(f"found one string, {texts[:40]!r}; expected a list of texts")
    if len(texts) == 0:
        raise ValueError("found no text; expected at least one")
    empty = [index for index, text in enumerate(texts) if not text.strip()]
    if empty:
        raise ValueError(f"text {empty[0]} of {len(texts)} is empty; expected one or more words")


def _plain(tensor: Tensor) -> Tensor:
    """The tensor as float32 on the CPU."""
    return tensor.to("cpu", torch.float32)


def _runs(indices: Sequence[int], length: int) -> list[Sequence[int]]:
    return [indices[start : start + length] for start in range(0, len(indices), length)]


def _ahead(
    recipe: Recipe, images: Sequence[Image.Image], plans: Sequence[Plan], batches: Sequence[Sequence[int]]
) -> Iterator[Tensor]:
    """The inputs of each batch, in order; threads prepare the next batch while one is in use."""

    def prepare(index: int) -> NDArray[np.generic]:
        return recipe.pixels(images[index], plans[index])

    if len(images) == 1:  # nothing to overlap
        yield torch.from_numpy(prepare(0)[None].copy())
        return
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        coming = deque([pool.submit(prepare, index) for index in batches[0]])
        for number in range(len(batches)):
            ready = list(coming)
            coming.clear()
            if number + 1 < len(batches):
                coming.extend(pool.submit(prepare, index) for index in batches[number + 1])
            yield torch.from_numpy(np.stack([job.result() for job in ready]))
