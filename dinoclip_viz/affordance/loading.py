"""Affordance models by name or folder."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch

from dinoclip_viz.affordance.files import WEIGHTS, read_settings, read_weights
from dinoclip_viz.affordance.model import AffordanceModel, make_head
from dinoclip_viz.affordance.words import VerbTexts
from dinoclip_viz.encoders import load_encoder, load_text_encoder
from dinoclip_viz.encoders.base import EncoderError, same_space
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.encoders.devices import AUTO, chosen_device

EMBEDDED = "playground-affordance"


def load_affordance(
    name_or_folder: str | PathLike[str] = EMBEDDED,
    device: str | torch.device | None = AUTO,
    dtype: str | torch.dtype | None = AUTO,
) -> AffordanceModel:
    """Load an affordance model with both of its encoders.

    Args:
        name_or_folder: "playground-affordance", or a folder that `AffordanceModel.save` wrote.
        device: device to compute on, as in `load_encoder`.
        dtype: floating-point type that the encoders compute in, as in `load_encoder`; the head computes in float32.

    Raises:
        EncoderError: the folder is missing or holds another model, or an encoder cannot be loaded.
        SpaceError: an encoder has other weights than in the training.
    """
    name = str(name_or_folder)
    folder = PLAYGROUND / EMBEDDED if name == EMBEDDED else Path(name).expanduser()
    if not folder.is_dir():
        raise EncoderError(f"there is no folder {name}; expected {EMBEDDED}, or one written by AffordanceModel.save")
    settings = read_settings(folder)
    where = chosen_device(device)
    encoder = load_encoder(settings.encoder, where, dtype)
    texts = load_text_encoder(settings.texts, where, dtype)
    same_space(settings.space, encoder.patch_space)
    same_space(settings.text_space, texts.space)
    words = VerbTexts(texts, settings.templates, settings.context)
    model = AffordanceModel(encoder, words, make_head(settings), settings)
    tensors = read_weights(folder)
    try:
        for part, module in (("head.", model.head), ("words.", words)):
            module.load_state_dict({n.removeprefix(part): v for n, v in tensors.items() if n.startswith(part)})
            module.eval().requires_grad_(False).to(where)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise EncoderError(f"{folder / WEIGHTS} does not fit its config.json ({reason}); save it again") from error
    return model
