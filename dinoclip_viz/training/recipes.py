"""Recipes by name: everything that decides how a projector is trained, frozen, saved as JSON beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

Average = Literal["none", "ema", "epochs"]


@dataclass(frozen=True)
class Recipe:
    """How a projector is trained.

    Attributes:
        name: what it is called.
        side: "image" carries images to texts, "text" carries texts to the image encoder's vectors.
        head, hidden, blocks: of the projector; see `HEADS`.
        inputs: what of an image goes in (on the text side: what the texts are compared with).
        scale_inputs: whether what goes in is brought to mean zero and deviation one, measured on the store.
        mse, cosine, clip, siglip, relation: weights of the losses. Cosine is 1 - cos, the same as mse but for a factor
            of D / 2, which makes it as large as the others.
        temperature: what cosines are divided by in the losses that compare images with texts, at the start.
        learn_temperature: whether it is learnt.
        captions: captions of each image that a step sees.
        batch: images a step, over all processes.
        epochs: passes over the images.
        rate: highest learning rate of AdamW under OneCycleLR; decay: its weight decay.
        noise: deviation of Gaussian noise on what goes in, where inputs are scaled.
        average: "none", "ema" (exponential moving average of the weights) or "epochs" (mean of the last `averaged`).
        averaged: how many epochs "epochs" takes.
        patience: epochs without a better retrieval after which it stops; 0 never stops.
        holdout: images kept out of training to choose the best epoch, a tenth of the store at most.
        bf16: whether a GPU computes in bfloat16.
        half: whether the weights are saved as float16, half the size; they are computed with as float32 all the same.
        patch_epochs, patch_batch, patch_rate: of the second head, on stores with patches; 0 epochs leave it out.
        patch_hidden, patch_blocks: its sizes.
        patch_relation: weight of the loss by which patches stand to captions as the patches that they follow do.
        guided: the second head's targets are first pooled over the patches that the image encoder finds at least so
            much alike (a cosine); 0 leaves them as they are.
        seed: of weights and order.
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
                f"the recipe {self.name!r} has no loss; give mse, cosine, clip, siglip or relation a weight"
            )
        for name in ("batch", "epochs", "captions", "averaged", "rate", "temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} of the recipe {self.name!r} is {getattr(self, name)}; expected more than 0")
        if self.average not in ("none", "ema", "epochs"):
            raise ValueError(f"average is {self.average!r}; expected none, ema or epochs")
        if self.side == "text" and (self.inputs == "pooled+mean" or self.mse or self.cosine or self.relation):
            raise ValueError("a recipe of the text side compares with 'pooled' or 'mean', by clip or siglip alone")

    @property
    def reads_texts(self) -> bool:
        """Whether a loss needs the captions' vectors."""
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
"""Name -> recipe. "dinov2-clip" is the published one; its learning rate, which was not, is ours."""


def find_recipe(recipe: str | Recipe, **changes: object) -> Recipe:
    """A recipe by name, with some of its settings changed.

    Raises:
        ValueError: there is no recipe or no setting of that name, or a setting is out of its range.
    """
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise ValueError(f"there is no recipe {recipe!r}; expected one of {', '.join(RECIPES)}")
        recipe = RECIPES[recipe]
    unknown = sorted(changes.keys() - {field.name for field in fields(Recipe)})
    if unknown:
        raise ValueError(f"a recipe has no setting {unknown[0]!r}; it has {', '.join(f.name for f in fields(Recipe))}")
    return replace(recipe, **changes)  # type: ignore[arg-type]
