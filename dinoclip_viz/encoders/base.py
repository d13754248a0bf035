"""The contract of every encoder: what goes in, what comes out, and in which space. Read this first.

Letters in shapes: B images, T texts, H x W patches row by row, D dimensions.
Encoders return raw vectors: whoever compares two of them normalises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.dense.reader import BlockReader
from dinoclip_viz.encoders.errors import EncoderError, SpaceError

__all__ = [
    "EncoderError",
    "Fit",
    "ImageEncoder",
    "ImageFeatures",
    "SpaceError",
    "TextEncoder",
    "TextFeatures",
    "concatenate",
    "same_space",
]

Fit = Literal["crop", "whole"]
"""How an image becomes the encoder's input: the published centre crop, or all of it, sides rounded to the patch."""


@dataclass(frozen=True)
class ImageFeatures:
    """What an encoder sees in B images that share one patch grid.

    Attributes:
        pooled: (B, D) one vector an image: DINO's CLS token after the final norm, or CLIP's joint embedding.
        mean: (B, D') the mean of all tokens (CLS, registers and patches) as the model returns them.
        patches: (B, H, W, D') patch tokens after the final norm; never CLS, never registers.
        boxes: (B, 4) the part of each image that the grid covers, (x0, y0, x1, y1) in the image's pixels.
        sizes: (B, 2) width and height of each image in pixels.
        space: name of the space that `pooled` lives in.
        patch_space: name of the space that `patches` and `mean` live in; DINO's is the same as `space`.
        dense: heat-map method -> (B, H, W, D) patches that live in `space`, ready to be compared with texts.
    """

    pooled: Tensor
    mean: Tensor
    patches: Tensor
    boxes: Tensor
    sizes: Tensor
    space: str
    patch_space: str = ""
    dense: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.patch_space:
            object.__setattr__(self, "patch_space", self.space)
        if self.patches.ndim != 4:
            raise ValueError(f"patches have shape {tuple(self.patches.shape)}; expected (B, H, W, D)")
        count = self.patches.shape[0]
        wrong = [
            f"{name} {tuple(value.shape)}"
            for name, value in (
                ("pooled", self.pooled),
                ("mean", self.mean),
                ("boxes", self.boxes),
                ("sizes", self.sizes),
            )
            if value.ndim != 2 or value.shape[0] != count
        ]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} do not fit {count} images; expected two axes, the first of {count}")

    def __len__(self) -> int:
        return self.patches.shape[0]

    def __getitem__(self, index: int | slice) -> ImageFeatures:
        """The features of one image, or of a run of images, still with the axis B."""
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        if isinstance(index, int) and not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        return ImageFeatures(
            pooled=self.pooled[rows],
            mean=self.mean[rows],
            patches=self.patches[rows],
            boxes=self.boxes[rows],
            sizes=self.sizes[rows],
            space=self.space,
            patch_space=self.patch_space,
            dense={method: patches[rows] for method, patches in self.dense.items()},
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patch grid."""
        return self.patches.shape[1], self.patches.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes that the tensors occupy; what a cache counts."""
        tensors = (self.pooled, self.mean, self.patches, self.boxes, self.sizes, *self.dense.values())
        return sum(tensor.nbytes for tensor in tensors)


@dataclass(frozen=True)
class TextFeatures:
    """What a text encoder makes of T texts.

    Attributes:
        pooled: (T, D) one raw vector a text.
        space: name of the space that `pooled` lives in.
    """

    pooled: Tensor
    space: str

    def __post_init__(self) -> None:
        if self.pooled.ndim != 2:
            raise ValueError(f"pooled has shape {tuple(self.pooled.shape)}; expected (T, D)")

    def __len__(self) -> int:
        return self.pooled.shape[0]


def concatenate(parts: Sequence[ImageFeatures]) -> ImageFeatures:
    """The images of all parts as one ImageFeatures, in order.

    Raises:
        ValueError: there are no parts, or their grids differ (keep them apart, as `encode_each` does).
        SpaceError: the parts come from different encoders.
    """
    if not parts:
        raise ValueError("no features were given; expected at least one ImageFeatures")
    first = parts[0]
    if {part.grid for part in parts} != {first.grid}:
        grids = sorted({f"{rows} x {columns}" for rows, columns in (part.grid for part in parts)})
        raise ValueError(f"images of different patch grids ({', '.join(grids)}) do not stack; use encode_each")
    for part in parts[1:]:
        same_space(first.space, part.space)
        same_space(first.patch_space, part.patch_space)
    methods = [method for method in first.dense if all(method in part.dense for part in parts)]
    return ImageFeatures(
        pooled=torch.cat([part.pooled for part in parts]),
        mean=torch.cat([part.mean for part in parts]),
        patches=torch.cat([part.patches for part in parts]),
        boxes=torch.cat([part.boxes for part in parts]),
        sizes=torch.cat([part.sizes for part in parts]),
        space=first.space,
        patch_space=first.patch_space,
        dense={method: torch.cat([part.dense[method] for part in parts]) for method in methods},
    )


def same_space(left: str, right: str) -> str:
    """The one space that both names are.

    Raises:
        SpaceError: the names differ.
    """
    if left != right:
        raise SpaceError(
            f"features of {left!r} and of {right!r} live in different spaces; project one into the other first"
        )
    return left


@runtime_checkable
class ImageEncoder(Protocol):
    """Images in, features out. `check_image_encoder` tests all that is promised here.

    Attributes:
        name: the catalogue name, hub id or folder it was loaded by.
        space: the space of `pooled`; patch_space: the space of `patches` and `mean`.
        dimension: D of `pooled`; patch_dimension: D of `patches`.
        patch: side of a patch in pixels; size: side of the published square input in pixels.
        methods: heat-map methods that `encode(..., methods=...)` can fill `ImageFeatures.dense` for by itself.
        reader: the way into the last blocks, for methods of more than one encoder; `encode` then fills `EXTRAS` too.
            None where there is none.
        device, dtype: where and how the model computes. Features always come back as float32 on the CPU.
    """

    name: str
    space: str
    patch_space: str
    dimension: int
    patch_dimension: int
    patch: int
    size: int
    methods: tuple[str, ...]
    reader: BlockReader | None
    device: torch.device
    dtype: torch.dtype

    def encode(
        self,
        images: Sequence[Image.Image],
        size: int | None = None,
        fit: Fit = "crop",
        methods: Sequence[str] = (),
        batch_size: int = 32,
    ) -> ImageFeatures:
        """Features of images that share one patch grid.

        Args:
            images: B >= 1 RGB images of any size.
            size: `fit="crop"`: side of the square crop in pixels, by default the published one.
                `fit="whole"`: length of the longer side in pixels, at most 1024; by default the image's own,
                but not less than the published size nor more than twice it.
            fit: "crop" is the model's published preprocessing; "whole" keeps the whole image, each side
                rounded to a whole number of patches by stretching.
            methods: heat-map methods to fill `dense` for.
            batch_size: how many images go through the model at once.

        Raises:
            ValueError: no image; grids differ (the message names `encode_each`); size smaller than a patch or too
                large; an unknown fit or method.
        """
        ...

    def encode_each(
        self,
        images: Sequence[Image.Image],
        size: int | None = None,
        fit: Fit = "whole",
        methods: Sequence[str] = (),
        batch_size: int = 32,
    ) -> list[ImageFeatures]:
        """One ImageFeatures (B = 1) an image, in order; inside, images of one grid are batched together."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Texts in, vectors of a joint space out. `check_text_encoder` tests all that is promised here.

    Attributes:
        name: the catalogue name, hub id or folder it was loaded by.
        space: the space of the vectors, the same name as the image encoder's that it was trained with.
        dimension: D.
        templates: prompt templates that the model is published with, each with one "{}"; at least one.
        logit_scale: what the model multiplies a cosine with before a softmax.
    """

    name: str
    space: str
    dimension: int
    templates: tuple[str, ...]
    logit_scale: float
    device: torch.device
    dtype: torch.dtype

    def encode(self, texts: Sequence[str], batch_size: int = 256) -> TextFeatures:
        """Raw vectors of T >= 1 texts, as typed; longer ones are cut at the model's context length.

        Raises:
            ValueError: no text, or a text that is empty.
        """
        ...
