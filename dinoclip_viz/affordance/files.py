"""Folders of affordance models: model.safetensors, config.json and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dinoclip_viz.affordance.settings import AffordanceSettings
from dinoclip_viz.disk import replacing, write_text
from dinoclip_viz.encoders.base import EncoderError

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
_KIND = "affordance"

_CARD = """---
library_name: dinoclip_viz
tags: [affordance, image-segmentation, one-shot]
---
# Affordance model on {encoder}

Which part of an object answers a verb. Head `{head}` between the last {layers} layers of `{encoder}` at {size} px and
the texts of `{texts}`, both frozen; their licences apply. `dinoclip_viz.load_affordance("path/to/this/folder")` loads
it with both encoders, and `dinoclip afford IMAGE --verb VERB --model path/to/this/folder --out FILE` draws its maps.

Verbs of the training: {verbs}. Any other verb can be asked for; its vector comes from the text encoder.
The accuracy on your images is unknown until it is measured, with `dinoclip evaluate affordance`.
"""


def write_model(folder: str | PathLike[str], settings: AffordanceSettings, tensors: Mapping[str, Tensor]) -> Path:
    """The folder that a model was written to, in float16; an existing model card is kept.

    Args:
        folder: created if it is missing.
        settings: of the model.
        tensors: name -> weights.
    """
    target = Path(folder).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    with replacing(target / WEIGHTS) as aside:
        save_file({name: value.half().cpu().contiguous() for name, value in tensors.items()}, aside)
    if not (target / CARD).is_file():
        card = _CARD.format(**{**asdict(settings), "verbs": ", ".join(settings.verbs)})
        write_text(target / CARD, card)
    text = json.dumps({"kind": _KIND, **asdict(settings)}, indent=1, ensure_ascii=False)
    write_text(target / CONFIG, text + "\n")
    return target


def read_settings(folder: Path) -> AffordanceSettings:
    """The settings in config.json.

    Raises:
        EncoderError: the file is missing, or that of another model.
    """
    if not (folder / CONFIG).is_file():
        raise EncoderError(f"{folder} has no affordance model; expected a folder written by AffordanceModel.save")
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if found.pop("kind") != _KIND:
            raise KeyError("kind")
        return AffordanceSettings(**{**found, "verbs": tuple(found["verbs"]), "templates": tuple(found["templates"])})
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise EncoderError(f"{folder / CONFIG} is not that of an affordance model ({reason}); save it again") from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Name -> weights in float32.

    Raises:
        EncoderError: the file is missing or damaged.
    """
    try:
        return {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise EncoderError(f"{folder / WEIGHTS} cannot be read ({reason}); save the model again") from error
