"""Interfaces of image and text encoders, and the features that they return.

Letters in shapes: B images, T texts, H x W patches row by row, D dimensions.
Encoders return unnormalised vectors; the code that compares two of them normalises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from dinoclip_viz.dense.reader import BlockReader
from dinoclip_viz.encoders.errors import EncoderError, SpaceError
from dinoclip_viz.images import ImagesLike
from dinoclip_viz.images.crops import Fit

__all__ = [
    "EncoderError",
    "Fit",
    "ImageEncoder",
    "ImageFeatures",
    "SpaceError",
    "TextEncoder",
    "TextFeatures",
    "TokenFeatures",
    "TokenTextEncoder",
    "concatenate",
    "same_space",
]


@dataclass(frozen=True)
class ImageFeatures:
    """Features of B images with a common patch grid.

    Attributes:
        pooled: (B, D) one vector per image: DINO's CLS token after the final norm, or CLIP's joint embedding.
        mean: (B, D') mean of all tokens (CLS, registers and patches) as the model returns them.
        patches: (B, H, W, D') patch tokens after the final norm, without CLS and register tokens.
        boxes: (B, 4) region of each image that the grid covers, (x0, y0, x1, y1) in the image's pixels.
        sizes: (B, 2) width and height of each image in pixels.
        space: name of the space of `pooled`.
        patch_space: name of the space of `patches` and `mean`; the same as `space` for a DINO.
        dense: heat-map method -> (B, H, W, D) patches in `space`, comparable with texts.
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
        """Features of one image or of a slice of images; the axis B is kept."""
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
        """Memory of the tensors in bytes."""
        tensors = (self.pooled, self.mean, self.patches, self.boxes, self.sizes, *self.dense.values())
        return sum(tensor.nbytes for tensor in tensors)


@dataclass(frozen=True)
class TextFeatures:
    """Features of T texts.

    Attributes:
        pooled: (T, D) one unnormalised vector per text.
        space: name of the space of `pooled`.
    """

    pooled: Tensor
    space: str

    def __post_init__(self) -> None:
        if self.pooled.ndim != 2:
            raise ValueError(f"pooled has shape {tuple(self.pooled.shape)}; expected (T, D)")

    def __len__(self) -> int:
        return self.pooled.shape[0]


@dataclass(frozen=True)
class TokenFeatures:
    """Token vectors of T texts, one text after the other without padding.

    Attributes:
        values: (N, D) vectors of the last layer of all tokens that the attention mask keeps: words, and the special
            tokens that the tokenizer adds, such as [CLS] and [SEP].
        offsets: (T + 1,) int64; text t has the rows `offsets[t]` to `offsets[t + 1]` of `values`.
        pooled: (T, E) the unnormalised vectors of the texts, as in `TextFeatures`.
        space: name of the text encoder's space.
    """

    values: Tensor
    offsets: Tensor
    pooled: Tensor
    space: str

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.offsets.ndim != 1 or len(self.offsets) != len(self.pooled) + 1:
            shapes = f"{tuple(self.values.shape)}, {tuple(self.offsets.shape)} and {tuple(self.pooled.shape)}"
            raise ValueError(f"values, offsets and pooled have the shapes {shapes}; expected (N, D), (T + 1,), (T, E)")

    def __len__(self) -> int:
        return len(self.pooled)


def concatenate(parts: Sequence[ImageFeatures]) -> ImageFeatures:
    """Concatenate features along the axis B.

    Raises:
        ValueError: there are no parts, or their patch grids differ (use `encode_each`, which keeps a list).
        SpaceError: the parts come from different encoders.
    """
    if not parts:
        raise ValueError("found no features; expected at least one ImageFeatures")
    first = parts[0]
    if {part.grid for part in parts} != {first.grid}:
        grids = sorted({f"{rows} x {columns}" for rows, columns in (part.grid for part in parts)})
        raise ValueError(f"found different patch grids ({', '.join(grids)}); expected one; use encode_each")
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
    """Return the common name of two spaces.

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
    """Encoder of images. `check_image_encoder` tests that an object follows this interface.

    Attributes:
        name: catalogue name, hub id or folder that it was loaded from.
        space: name of the space of `pooled`.
        patch_space: name of the space of `patches` and `mean`.
        dimension: D of `pooled`.
        patch_dimension: D of `patches`.
        patch: side of a patch in pixels.
        size: side of the published square input in pixels.
        methods: heat-map methods for which `encode(..., methods=...)` fills `ImageFeatures.dense`.
        reader: access to the last blocks, for methods that combine encoders; `encode` then accepts `EXTRAS` as methods
            too. None if the blocks cannot be read.
        device: device on which the model computes; features are always returned on the CPU.
        dtype: floating-point type in which the model computes; features are always returned as float32.
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
        images: ImagesLike,
        size: int | None = None,
        fit: Fit = "crop",
        methods: Sequence[str] = (),
        batch_size: int = 32,
    ) -> ImageFeatures:
        """Features of images with a common patch grid; one image gives B = 1.

        Args:
            images: one image or B >= 1 images of any size, each of a kind that `load_image` accepts.
            size: for `fit="crop"`, side of the square crop in pixels, by default the published one;
                for `fit="whole"`, longer side in pixels, up to 1024, by default the image's own, clipped to the range
                from the published size to twice that.
            fit: "crop" is the model's published preprocessing; "whole" keeps the whole image and stretches each side
                to a whole number of patches.
            methods: heat-map methods to fill `dense` for.
            batch_size: images per forward pass.

        Raises:
            ImageError: there is no image, or one cannot be read.
            ValueError: the patch grids differ (use `encode_each`), `size` is out of range, or `fit` or a method is
                unknown.
        """
        ...

    def encode_each(
        self,
        images: ImagesLike,
        size: int | None = None,
        fit: Fit = "whole",
        methods: Sequence[str] = (),
        batch_size: int = 32,
    ) -> list[ImageFeatures]:
        """One ImageFeatures (B = 1) per image, in order; images with the same patch grid are batched."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Encoder of texts. `check_text_encoder` tests that an object follows this interface.

    Attributes:
        name: catalogue name, hub id or folder that it was loaded from.
        space: name of the space of the vectors, the same as that of the image encoder that it was trained with.
        dimension: D.
        templates: one or more prompt templates that the model is published with, each with one "{}".
        logit_scale: factor of the cosine before a softmax.
        device: device on which the model computes; features are always returned on the CPU.
        dtype: floating-point type in which the model computes; features are always returned as float32.
    """

    name: str
    space: str
    dimension: int
    templates: tuple[str, ...]
    logit_scale: float
    device: torch.device
    dtype: torch.dtype

    def encode(self, texts: Sequence[str], batch_size: int = 256) -> TextFeatures:
        """Unnormalised vectors of T >= 1 texts, without templates; texts are truncated to the context length.

        Raises:
            ValueError: there is no text, or a text is empty.
        """
        ...


@runtime_checkable
class TokenTextEncoder(TextEncoder, Protocol):
    """A text encoder that returns a vector per token as well.

    Attributes:
        token_dimension: D of the token vectors; 0 if the model has none to give.
    """

    token_dimension: int

    def encode_tokens(self, texts: Sequence[str], batch_size: int = 256) -> TokenFeatures:
        """Token vectors of T >= 1 texts; texts are truncated to the context length.

        Raises:
            EncoderError: the model has no token vectors to give.
            ValueError: there is no text, or a text is empty.
        """
        ...
