"""Model cards of adapted models."""

from __future__ import annotations

from pathlib import Path

from dinoclip_viz.disk import write_text
from dinoclip_viz.models.adapted import AdaptedSettings

METHODS: dict[str, str] = {
    "nola": "NoLA (Imam et al. 2024, https://arxiv.org/abs/2411.19346): the CLIP's vision tower takes visual prompts, "
    "its norms and a linear classifier are tuned on the labels that a network on a DINO's features predicts",
    "nola-labeller": "the labelling network of NoLA (Imam et al. 2024, https://arxiv.org/abs/2411.19346): a network on "
    "a frozen encoder's features, trained on the most confident zero-shot predictions",
    "zlap": "ZLaP (Stojnic et al. 2024, https://arxiv.org/abs/2404.04072): labels propagated from the class names over "
    "a graph of the images",
    "transclip": "TransCLIP (Zanella et al. 2024, https://arxiv.org/abs/2406.01837): a Gaussian mixture over the "
    "images with the zero-shot probabilities as a prior",
    "stata": "StatA (Zanella et al. 2025, https://arxiv.org/abs/2501.03729): a Gaussian mixture over the images, "
    "anchored at the class names",
}
"""Method -> what it does, and its source."""

_CARD = """---
library_name: dinoclip_viz
tags: [zero-shot-image-classification, label-free-adaptation]
---
# {model}, adapted to {classes} classes without labels

Method `{method}`: {about}.
Base model: `{model}`{guide}; its licence applies. `dinoclip_viz.load_model("path/to/this/folder")` loads both, and
`dinoclip classify IMAGE --model path/to/this/folder --labels A,B` answers for all or some of the classes.

## Adaptation

{images} unlabelled images{source}{seed}. The classes are described by {texts}.
No ground-truth label was read: the number of classes is that of the names. The accuracy on your images is unknown
until it is measured on labelled ones, with `dinoclip evaluate zero-shot SOURCE --model path/to/this/folder`.

## Classes

{names}
"""


def save_card(folder: Path, settings: AdaptedSettings) -> Path:
    """Path of the README.md written for an adapted model.

    Args:
        folder: of the model.
        settings: of its adaptation.
    """
    texts = "the model's templates"
    if settings.descriptions:
        texts += f" and {settings.descriptions} descriptions"
    card = _CARD.format(
        model=settings.model,
        classes=len(settings.class_names),
        method=settings.method,
        about=METHODS[settings.method],
        guide=f", guide `{settings.guide}`" if settings.guide else "",
        images=settings.images,
        source=f" of `{settings.source}`" if settings.source else "",
        seed=f", seed {settings.seed}" if settings.method.startswith("nola") else "",
        texts=texts,
        names=", ".join(settings.class_names),
    )
    file = folder / "README.md"
    write_text(file, card)
    return file
