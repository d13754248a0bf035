"""The projector: a head, the names of both encoders, and its input and output spaces."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin, constants
from torch import Tensor, nn

from dinoclip_viz.encoders.base import EncoderError, ImageFeatures, TextFeatures, TokenFeatures, same_space
from dinoclip_viz.encoders.hub import Options, failures, fetch, refusal
from dinoclip_viz.projector.frozen_heads import TokenProjection
from dinoclip_viz.projector.heads import ProjectorWithResiduals, make_head
from dinoclip_viz.projector.sides import INPUTS, PATCHES, Input, Side, check_sides
from dinoclip_viz.projector.text_side import TextSide


class Projector(
    nn.Module, PyTorchModelHubMixin, library_name="dinoclip_viz", tags=["dinov2", "clip"], license="apache-2.0"
):
    """Maps features of one frozen encoder to the space of another.

    On the image side images and their patches are mapped to a text encoder's space; on the text side texts are mapped
    to an image encoder's patch space; on both sides they are mapped to a space of their own. `save_pretrained`,
    `from_pretrained` and `push_to_hub` come from huggingface_hub; config.json holds the arguments below, so that a
    projector's folder names both of its encoders and is an image-text model by itself.

    Args:
        image_encoder: name of the image encoder.
        text_encoder: name of the model of the text encoder.
        image_space: the `patch_space` of the image encoder.
        text_space: the space of the text encoder.
        width: D of the encoder's features; outputs: D of the projected vectors.
        head: a name in `HEADS`; hidden: its inner width; blocks: its number of residual blocks, if it has them.
        inputs: features of an image that are projected: "mean" of all tokens, "pooled" (CLS), "pooled+mean", or
            "pooled+patches": the projected CLS plus the mean of the projected patches. On the text side, those that
            projected texts are compared with: "mean" or "pooled".
        patch_head: whether patches have a second head of the same kind. Otherwise they use the first, which requires
            inputs of one encoder width. patch_hidden, patch_blocks: its sizes, by default those of the first.
        side: "image" to project images, "text" to project texts, "both" for a head of each.
        text_head, text_inputs, text_width, text_hidden: of the texts' head on both sides, as in `TextSide`.
        image_dtype, text_dtype: types that the encoders of its training computed in, such as "float32"; "" if unknown.
            They are information: the projector itself computes in float32.

    Raises:
        ValueError: unknown head, inputs or side, or an invalid combination.
    """

    def __init__(
        self,
        *,
        image_encoder: str,
        text_encoder: str,
        image_space: str,
        text_space: str,
        width: int,
        outputs: int,
        head: str = "residual-mlp",
        inputs: Input = "mean",
        hidden: int = 512,
        blocks: int = 2,
        patch_head: bool = False,
        patch_hidden: int | None = None,
        patch_blocks: int | None = None,
        side: Side = "image",
        image_dtype: str = "",
        text_dtype: str = "",
        text_head: str = "",
        text_inputs: str = "pooled",
        text_width: int = 0,
        text_hidden: int = 1,
    ) -> None:
        super().__init__()
        check_sides(side, inputs, patch_head, text_head)
        self.image_encoder, self.text_encoder = image_encoder, text_encoder
        self.image_space, self.text_space = image_space, text_space
        self.image_dtype, self.text_dtype = image_dtype, text_dtype
        self.head: str = head
        self.inputs: str = inputs
        self.side: str = side
        self.outputs = outputs
        entering = width * INPUTS[inputs]
        self.pooled_head = make_head(head, entering, outputs, hidden, blocks)
        sizes = hidden if patch_hidden is None else patch_hidden, blocks if patch_blocks is None else patch_blocks
        self.patch_head = make_head(head, width, outputs, *sizes) if patch_head else None
        both = side == "both"
        self.text_side = TextSide(text_inputs, text_width, outputs, text_head, text_hidden) if both else None
        self.register_buffer("pooled_mean", torch.zeros(entering))
        self.register_buffer("pooled_deviation", torch.ones(entering))
        self.register_buffer("patch_mean", torch.zeros(width))
        self.register_buffer("patch_deviation", torch.ones(width))
        self.pooled_mean: Tensor
        self.pooled_deviation: Tensor
        self.patch_mean: Tensor
        self.patch_deviation: Tensor

    @classmethod
    def around(
        cls,
        head: ProjectorWithResiduals,
        image_encoder: str = "facebook/dinov2-base",
        text_encoder: str = "openai/clip-vit-base-patch16",
        image_space: str | None = None,
        text_space: str | None = None,
    ) -> Self:
        """The published head as a projector between the encoders of its training.

        Args:
            head: as `load_dinov2_clip_checkpoint` returns it.
            image_encoder, text_encoder: names; image_space, text_space: their spaces, by default the names.
        """
        projector = cls(
            image_encoder=image_encoder,
            text_encoder=text_encoder,
            image_space=image_space or image_encoder,
            text_space=text_space or text_encoder,
            width=head.input_proj.in_features,
            outputs=head.layer_norm.normalized_shape[0],
            head="projector-with-residuals",
            hidden=head.input_proj.out_features,
            blocks=len(head.residual_blocks),
        )
        projector.pooled_head.load_state_dict(head.state_dict())
        return projector.eval().requires_grad_(False)

    @classmethod
    def find(cls, name: str | Path) -> Self:
        """The projector of a folder or of a hub id.

        Args:
            name: folder, or id on the Hugging Face hub.

        Raises:
            EncoderError: the projector is missing, cannot be downloaded, or is invalid.
        """
        folder = Path(name).expanduser()
        if folder.is_dir() and not (folder / "config.json").is_file():
            raise EncoderError(f"{name} has no config.json; expected a folder that a projector was saved in")
        if not folder.is_dir() and not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(name)):
            raise EncoderError(f"there is no folder {name}; expected the folder of a projector, or its id on the hub")
        return cls.from_pretrained(folder if folder.is_dir() else str(name))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **settings: Any,
    ) -> Self:
        """The projector of a folder or of a hub id; arguments are those of huggingface_hub's mixin.

        Raises:
            EncoderError: the projector cannot be downloaded (as in `fetch`), or is invalid.
        """
        name, folder = str(pretrained_model_name_or_path), Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            options = Options(token, cache_dir, force_download, local_files_only)
            folder, _ = fetch(name, name, "transformers", revision, options=options)
        projector: Self = super().from_pretrained(folder, **settings)
        return projector

    def push_to_hub(self, repo_id: str, **settings: Any) -> str:
        """Upload the projector and return the address of the commit; arguments are those of huggingface_hub's mixin.

        Raises:
            EncoderError: the hub cannot be reached or refuses, with what to do.
        """
        try:
            return str(super().push_to_hub(repo_id, **settings))
        except failures() as error:
            raise refusal(error, "the projector is not uploaded", repo_id) from error

    def described(self) -> str:
        """Head, number of parameters and inputs, as text."""
        count = sum(weights.numel() for weights in self.pooled_head.parameters())
        return f"{self.head} of {count:,} parameters on {self.inputs!r}"

    @property
    def serves_patches(self) -> bool:
        """Whether patches can be projected to the text space."""
        return self.side != "text" and (self.patch_head is not None or INPUTS[self.inputs] == 1)

    @property
    def reads_patches(self) -> bool:
        """Whether the vector of an image is computed from its patches too."""
        return self.inputs == PATCHES

    def joint_space(self) -> str:
        """Name of the space in which images and texts are compared; that of a pair identifies its weights."""
        if self.side != "both":
            return self.text_space if self.side == "image" else self.image_space
        digest = hashlib.sha256()
        for name, weights in sorted(self.state_dict().items()):
            digest.update(name.encode() + weights.detach().float().cpu().numpy().tobytes())
        return f"{self.image_space}+{self.text_space}-{digest.hexdigest()[:8]}"

    def choose(self, pooled: Tensor, mean: Tensor) -> Tensor:
        """(B, inputs) the input features of `forward`, from (B, D) `pooled` and `mean`."""
        if self.reads_patches:
            return pooled
        vectors = {"mean": mean, "pooled": pooled}
        return torch.cat([vectors[name] for name in self.inputs.split("+")], dim=-1)

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., inputs) from `choose` -> (..., outputs), raw."""
        out: Tensor = self.pooled_head((vectors - self.pooled_mean) / self.pooled_deviation)
        return out

    def image_vectors(self, pooled: Tensor, mean: Tensor, patches: Tensor | None = None) -> Tensor:
        """(B, outputs) raw vectors of images in the joint space; on the text side, where images stay, their features.

        Args:
            pooled, mean: (B, D) features of the image encoder.
            patches: (B, H, W, D), for inputs "pooled+patches".

        Raises:
            ValueError: patches are needed and missing.
        """
        chosen = self.choose(pooled, mean)
        if self.side == "text":
            return chosen
        if not self.reads_patches:
            return self.forward(chosen)
        if patches is None:
            raise ValueError(f"found no patches for inputs {self.inputs!r}; embed the images with --patches full")
        if not isinstance(self.patch_head, TokenProjection):
            return self.forward(chosen) + self.project_patches(patches).flatten(1, -2).mean(1)
        tokens = (patches.flatten(1, -2) - self.patch_mean) / self.patch_deviation  # (B, H * W, D)
        return self.forward(chosen) + self.patch_head.mean(tokens, torch.ones_like(tokens[..., 0]))

    def project_patches(self, patches: Tensor) -> Tensor:
        """(..., width) patch tokens -> (..., outputs), raw.

        Raises:
            ValueError: the projector has no head for patches.
        """
        if self.patch_head is not None:
            out: Tensor = self.patch_head((patches - self.patch_mean) / self.patch_deviation)
            return out
        if not self.serves_patches:
            raise ValueError(
                f"this projector maps {self.inputs!r} of {self.side}s and has no patch head; expected one; train it "
                "from stores with patches"
            )
        return self.forward(patches)

    @torch.no_grad()
    def project(self, features: ImageFeatures) -> Tensor:
        """(B, outputs) raw vectors of the images in the text space, or in that of both sides.

        Raises:
            SpaceError: the features are of another encoder.
            ValueError: the projector is on the text side.
        """
        self._on("image")
        same_space(self.image_space, features.patch_space)
        return self.image_vectors(features.pooled, features.mean, features.patches)

    @torch.no_grad()
    def project_grid(self, features: ImageFeatures) -> Tensor:
        """(B, H, W, outputs) raw vectors of the patches in the text space.

        Raises:
            SpaceError: the features are of another encoder.
            ValueError: the projector has no head for patches.
        """
        same_space(self.image_space, features.patch_space)
        return self.project_patches(features.patches)

    @torch.no_grad()
    def project_texts(self, texts: TextFeatures | TokenFeatures) -> Tensor:
        """(T, outputs) raw vectors of the texts in the image encoder's patch space, or in that of both sides.

        Raises:
            SpaceError: the texts are of another model.
            ValueError: the projector is on the image side, or reads token vectors and gets none.
        """
        self._on("text")
        same_space(self.text_space, texts.space)
        if self.text_side is None:
            return self.forward(texts.pooled)
        if self.text_side.tokens is not None and isinstance(texts, TokenFeatures):
            return self.text_side.project_ragged(texts.values, texts.offsets)
        out: Tensor = self.text_side(texts.pooled)
        return out

    @torch.no_grad()
    def measure_input(self, vectors: Tensor, patches: Tensor | None = None) -> None:
        """Set mean and deviation of the inputs from (N, inputs) vectors and (M, width) patches."""
        self.pooled_mean.copy_(vectors.mean(0))
        self.pooled_deviation.copy_(vectors.std(0) + 1e-4)
        if patches is not None:
            self.patch_mean.copy_(patches.mean(0))
            self.patch_deviation.copy_(patches.std(0) + 1e-4)

    def _on(self, side: str) -> None:
        if self.side not in (side, "both"):
            raise ValueError(f"this projector maps {self.side}s; expected one that maps {side}s")

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        map_location: str = "cpu",
        strict: bool = True,
        **settings: object,
    ) -> Self:
        """Hook of the hub mixin: loads safetensors only, strictly and without printing."""
        file = Path(model_id) / constants.SAFETENSORS_SINGLE_FILE
        if not file.is_file():
            raise EncoderError(f"{model_id} has no {file.name}; save the projector with save_pretrained")
        try:
            projector = cls(**settings)  # type: ignore[arg-type]
        except TypeError as error:
            raise EncoderError(f"config.json of {model_id} is not that of a projector ({error})") from error
        return projector._with_weights(file)

    def _with_weights(self, file: Path) -> Self:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            self.load_state_dict(load_file(file))
        except (SafetensorError, OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise EncoderError(f"the weights in {file} do not fit their config.json ({reason})") from error
        return self.eval()


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length one along the last axis."""
    return F.normalize(vectors, dim=-1)
