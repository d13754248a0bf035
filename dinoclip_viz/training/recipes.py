"""Training recipes by name: frozen settings of a projector's training, saved as JSON next to the weights."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

Average = Literal["none", "ema", "epochs"]


@dataclass(frozen=True)
class Recipe:
    """Settings of a projector's training.

    Attributes:
        name: of the recipe.
        side: "image" maps image features to the text space, "text" maps texts to the image encoder's space.
        head, hidden, blocks: of the projector; see `HEADS`.
        inputs: image features that are projected (on the text side: that texts are compared with).
        scale_inputs: whether inputs are standardised to mean 0 and deviation 1, measured on the store.
        mse, cosine, clip, siglip, relation: weights of the losses. Cosine is 1 - cos, equal to mse up to a factor of
            D / 2, which brings it to the scale of the others.
        temperature: initial divisor of cosines in the losses that compare images with texts.
        learn_temperature: whether the temperature is learnt.
        captions: captions per image and step.
        batch: images per step, over all processes.
        epochs: passes over the images.
        rate: highest learning rate of AdamW under OneCycleLR; decay: its weight decay.
        noise: deviation of Gaussian noise added to the inputs, where inputs are scaled.
        average: "none", "ema" (exponential moving average of the weights) or "epochs" (mean of the last `averaged`).
        averaged: number of epochs that "epochs" averages.
        patience: epochs without better retrieval before early stopping; 0 disables it.
        holdout: held-out images, by which the best epoch is chosen; at most a tenth of the store.
        bf16: whether a GPU computes in bfloat16.
        half: whether the weights are saved as float16; they are computed with as float32.
        patch_epochs, patch_batch, patch_rate: of the patch head, on stores with patches; 0 epochs train none.
        patch_hidden, patch_blocks: its inner width and number of blocks.
        patch_relation: weight of the relation loss between patches and captions.
        guided: cosine similarity above which the image encoder's patches are pooled together in the patch head's
            targets; 0 does not pool.
        seed: of the initial weights and the order of the images.
    """

    name: str
    side: Literal["image", "text"] = "image"
    head: str = "residual-mlp"
    hidden: int = 512
    blocks: int = 1
    inputs: Literal["mean", "pooled", "pooled+mean"] = "pooled+mean"
    scale_inputs: bool = True
    mse: float = 0.0
    cosine: float = 0.0
    clip: float = 0.0
    siglip: float = 0.0
    relation: float = 0.0
    temperature: float = 0.05
    learn_temperature: bool = False
    captions: int = 1
    batch: int = 1024
    epochs: int = 30
    rate: float = 2e-3
    decay: float = 0.05
    noise: float = 0.0
    average: Average = "none"
    averaged: int = 5
    patience: int = 5
    holdout: int = 1000
    bf16: bool = True
    half: bool = False
    patch_epochs: int = 0
    patch_hidden: int = 256
    patch_blocks: int = 1
    patch_batch: int = 4096
    patch_rate: float = 2e-3
    patch_relation: float = 0.0
    guided: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        if not any((self.mse, self.cosine, self.clip, self.siglip, self.relation)):
            raise ValueError(
                f"the recipe {self.name!r} has no loss; give mse, cosine, clip, siglip or relation a weight above 0"
            )
        for name in ("batch", "epochs", "captions", "averaged", "rate", "temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"{name} of the recipe {self.name!r} is {getattr(self, name)}; expected a value above 0"
                )
        if self.average not in ("none", "ema", "epochs"):
            raise ValueError(f"average is {self.average!r}; expected none, ema or epochs")
        if self.side == "text" and (self.inputs == "pooled+mean" or self.mse or self.cosine or self.relation):
            raise ValueError(
                f"the recipe {self.name!r} is of the text side, with inputs {self.inputs!r}; expected inputs "
                "'pooled' or 'mean' and no losses but clip and siglip"
            )

    @property
    def reads_texts(self) -> bool:
        """Whether a loss requires captions."""
        return bool(self.clip or self.siglip or self.relation)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "dinov2-clip", head="projector-with-residuals", hidden=2048, blocks=6, inputs="mean", scale_inputs=False,
            mse=1.0, batch=8192, epochs=16, rate=1e-3, decay=0.01, patience=4,
        ),
        Recipe(
            "best", hidden=416, blocks=2, cosine=0.25, relation=1.0, clip=1.0, temperature=0.04, captions=2, batch=512,
            epochs=36, rate=5e-3, average="ema", patience=0, half=True, patch_epochs=6, patch_rate=3e-3,
        ),
        Recipe(
            "text-to-patch", side="text", head="text-to-patch", inputs="mean", scale_inputs=False, clip=1.0,
            temperature=0.07, rate=1e-3, decay=0.0, captions=2,
        ),
    )
}  # fmt: skip
"""Name -> recipe. "dinov2-clip" is the published one, but for the learning rate, which was not published."""


def find_recipe(recipe: str | Recipe, **changes: object) -> Recipe:
    """A recipe by name, with some of its settings changed.

    Args:
        recipe: name of a recipe in `RECIPES`, or the recipe itself.
        changes: settings to replace.

    Raises:
        ValueError: unknown recipe or setting, or a setting out of its range.
    """
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise ValueError(f"there is no recipe {recipe!r}; expected one of {', '.join(RECIPES)}")
        recipe = RECIPES[recipe]
    unknown = sorted(changes.keys() - {field.name for field in fields(Recipe)})
    if unknown:
        raise ValueError(f"a recipe has no setting {unknown[0]!r}; it has {', '.join(f.name for f in fields(Recipe))}")
    return replace(recipe, **changes)  # type: ignore[arg-type]
