"""The files of a tuned tower and its classifier, which are applied on the base model by name."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dinoclip_viz.adapt.nola.classifier import NolaClassifier
from dinoclip_viz.adapt.nola.prompted import tower_of, tuned_encoder
from dinoclip_viz.disk import replacing
from dinoclip_viz.encoders.base import EncoderError, ImageEncoder

TUNED = "tuned.safetensors"


def save_tuned(encoder: ImageEncoder, classifier: NolaClassifier, folder: str | Path) -> None:
    """Write tuned.safetensors with prompts and norms, and classifier.safetensors.

    The frozen weights of the base model are not written; its name is in the metadata.

    Args:
        encoder: tuned encoder of `fit_nola`.
        classifier: of the same call.
        folder: target folder; created if it does not exist.

    Raises:
        EncoderError: the encoder is not tuned by NoLA.
    """
    tower, folder = tower_of(encoder), Path(folder)
    classifier.save(folder)
    plain = {name: values.cpu().contiguous() for name, values in tower.tensors().items()}
    with replacing(folder / TUNED) as aside:
        save_file(plain, aside, {"base": tower.base_name})


def load_tuned(base: ImageEncoder, folder: str | Path, name: str | None = None) -> tuple[ImageEncoder, NolaClassifier]:
    """The tuned encoder and classifier of a folder written by `save_tuned`.

    Args:
        base: image encoder of the model that was tuned.
        folder: of the files.
        name: of the encoder; None names it after the base.

    Raises:
        EncoderError: a file is missing or invalid, or of another model than `base`.
    """
    folder = Path(folder)
    classifier = NolaClassifier.load(folder)
    width = classifier.weight.shape[1]
    if width != base.dimension:
        raise EncoderError(
            f"the classifier in {folder} is for vectors of {width} values; {base.name} has {base.dimension}"
        )
    return tuned_encoder(base, _read(folder / TUNED), name), classifier


def _read(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise EncoderError(f"there is no file {file}; expected the folder of a model tuned by NoLA: adapt it again")
    try:
        with safe_open(file, "pt") as opened:
            names = list(opened.keys())
            return {name: torch.as_tensor(opened.get_tensor(name)) for name in names}
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"cannot read {file} as a tuned tower ({error}); adapt the model again") from error
