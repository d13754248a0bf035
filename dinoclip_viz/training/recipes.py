"""Training recipes by name: frozen settings of a projector's training, saved as JSON next to the weights."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

Average = Literal["none", "ema", "epochs"]
Closed = Literal["", "procrustes", "cca"]


@dataclass(frozen=True)
class Recipe:
    """Settings of a projector's training.

    Attributes:
        name: of the recipe.
        side: "image" maps image features to the text space, "text" maps texts to the image encoder's space, "both" maps
            the features of two unimodal encoders to a space of their own.
        head, hidden, blocks: of the projector; see `HEADS`. On both sides a `hidden` of 0 is the published width.
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
        text_head, text_hidden: of the texts' head, on both sides.
        text_inputs: what it reads: "pooled" vectors, or "tokens".
        outputs: dimensions of the space of both sides; 0 for as many as the input of the images' head has.
        mask_equal: whether the loss ignores pairs of an image and a caption of another one that is equal to one of its
            own, on both sides; otherwise they are false negatives.
        closed: a solution without training, on both sides: "procrustes" or "cca"; "" for none.
        ridge: fraction of the mean variance that "cca" adds to every variance.
        reinforced: whether the data are a reinforced store, whose loss replaces the others but cosine, which is then to
            the first teacher's vectors of the same views.
        distil: lambda, the weight of the teachers' similarities in that loss; 1 - lambda is that of the pairs.
        unchanged: probability that an image of reinforced data enters unchanged instead of as a view.
        teacher_scales: factor of the teachers' cosines: one number, or one per teacher, separated by commas.
    """

    name: str
    side: Literal["image", "text", "both"] = "image"
    head: str = "residual-mlp"
    hidden: int = 512
    blocks: int = 1
    inputs: Literal["mean", "pooled", "pooled+mean", "pooled+patches"] = "pooled+mean"
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
    text_head: str = ""
    text_hidden: int = 0
    text_inputs: Literal["pooled", "tokens"] = "pooled"
    outputs: int = 0
    mask_equal: bool = True
    closed: Closed = ""
    ridge: float = 0.1
    reinforced: bool = False
    distil: float = 1.0
    unchanged: float = 0.0
    teacher_scales: str = "100"

    def __post_init__(self) -> None:
        if self.reinforced:
            self._check_reinforced()
        elif not self.closed and not any((self.mse, self.cosine, self.clip, self.siglip, self.relation)):
            raise ValueError(
                f"the recipe {self.name!r} has no loss; give mse, cosine, clip, siglip or relation a weight above 0"
            )
        for name in ("batch", "epochs", "captions", "averaged", "rate", "temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"{name} of the recipe {self.name!r} is {getattr(self, name)}; expected a value above 0"
                )
        if self.side == "both":
            self._check_both()
        if self.average not in ("none", "ema", "epochs"):
            raise ValueError(f"average is {self.average!r}; expected none, ema or epochs")
        if self.side == "text" and (self.inputs == "pooled+mean" or self.mse or self.cosine or self.relation):
            raise ValueError(
                f"the recipe {self.name!r} is of the text side, with inputs {self.inputs!r}; expected inputs "
                "'pooled' or 'mean' and no losses but clip and siglip"
            )

    def _check_reinforced(self) -> None:
        others = (self.mse, self.clip, self.siglip, self.relation, self.noise)
        if self.side != "image" or any(others) or self.captions != 1:
            raise ValueError(
                f"the recipe {self.name!r} is of reinforced data; expected side 'image', one caption, no noise and no "
                "further loss but cosine, to the first teacher's vectors of the same views"
            )
        for name in ("distil", "unchanged"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 to 1")

    def _check_both(self) -> None:
        if self.mse or self.cosine or self.relation or (self.clip and self.siglip) or not self.text_head:
            raise ValueError(
                f"the recipe {self.name!r} is of both sides, with text_head {self.text_head!r}; expected a head of the "
                "texts, and clip or siglip as the one loss"
            )
        if self.closed not in ("", "procrustes", "cca"):
            raise ValueError(f"closed is {self.closed!r}; expected procrustes or cca, or nothing to train")
        if self.ridge < 0 or self.outputs < 0:
            raise ValueError(f"ridge is {self.ridge}, outputs {self.outputs}; expected 0 or more")

    @property
    def reads_texts(self) -> bool:
        """Whether a loss requires captions."""
        return bool(self.clip or self.siglip or self.relation or self.reinforced)


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
        Recipe(
            "freeze-align", side="both", head="token-projection", hidden=0, inputs="pooled+patches",
            text_head="projection", text_inputs="tokens", outputs=1024, scale_inputs=False, clip=1.0, temperature=0.07,
            learn_temperature=True, batch=512, epochs=15, rate=1e-3, decay=0.02, patience=0,
        ),
        Recipe(
            "sail", side="both", head="gated", hidden=0, text_head="gated", outputs=1024, scale_inputs=False,
            siglip=1.0, temperature=0.05, learn_temperature=True, captions=2, batch=512, epochs=15, rate=1e-3,
            decay=1e-4, patience=0,
        ),
        Recipe(
            "sharelock", side="both", head="identity", inputs="pooled", text_head="batch-norm-mlp", scale_inputs=False,
            clip=1.0, temperature=0.07, learn_temperature=True, rate=1e-3, decay=1e-4,
        ),
        Recipe(
            "reinforced", hidden=416, blocks=2, reinforced=True, unchanged=0.5, temperature=0.07,
            learn_temperature=True, batch=512, epochs=36, rate=5e-3, average="ema", patience=0, half=True,
        ),
        Recipe("procrustes", side="both", head="linear", text_head="linear", closed="procrustes"),
        Recipe("cca", side="both", head="linear", text_head="linear", closed="cca"),
    )
}  # fmt: skip
"""Name -> recipe. "dinov2-clip" is the published one, but for the learning rate, which was not published.

Those of both sides align frozen unimodal encoders: "freeze-align" (Maniparambil et al., CVPR 2025), "sail" (Zhang et
al., CVPR 2025), "sharelock" (Ruthardt et al., TMLR 2026), and the baselines without training "procrustes" and "cca".
Heads, losses and temperatures are the published ones, batch and epochs fit tens of thousands of images. "sail" was
published with Lion at a rate of 1e-5, which suits its batch of 32,768; at a batch of 512 it is trained with AdamW.

"reinforced" is MobileCLIP's loss (Vasu et al., CVPR 2024) on a store of `dinoclip reinforce`, with the head of "best".
Half of its images enter unchanged, as those that a projector is used on are; in MobileCLIP's training none did.
"""


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
