"""Folders of adapted models: their settings, and the call that reads their classifier."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dinoclip_viz.disk import write_text
from dinoclip_viz.encoders.base import EncoderError

if TYPE_CHECKING:
    from dinoclip_viz.models.model import ImageTextModel

    _Reader = Callable[[Path, "AdaptedSettings", ImageTextModel], ImageTextModel]

SETTINGS = "settings.json"
KIND = "adapted image-text model"
_READER = "dinoclip_viz.adapt.saving"
"""The module that reads classifiers. It is loaded by name, for adapted folders only, as it is built on this package."""


@dataclass(frozen=True)
class AdaptedSettings:
    """Content of settings.json in the folder of an adapted model.

    Attributes:
        model: name of the model that was adapted.
        space: its space.
        image_space: the space of its image encoder.
        method: of the adaptation, such as "stata".
        class_names: C names.
        guide: name of the DINO that the adaptation used, "" without one.
        images: number of unlabelled images.
        source: name of their source.
        descriptions: number of class descriptions, 0 without any.
        seed: of the adaptation's random numbers.
    """

    model: str
    space: str
    image_space: str
    method: str
    class_names: tuple[str, ...]
    guide: str = ""
    images: int = 0
    source: str = ""
    descriptions: int = 0
    seed: int = 0

    def save(self, folder: Path) -> None:
        """Write settings.json."""
        content = {"kind": KIND, **asdict(self)}
        write_text(folder / SETTINGS, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def adapted_settings(folder: Path) -> AdaptedSettings | None:
    """The settings in the folder of an adapted model; None for any other folder.

    Raises:
        EncoderError: settings.json of an adapted model lacks a field or has an unknown one.
    """
    file = folder / SETTINGS
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (OSError, ValueError) as error:
        raise EncoderError(f"{file} cannot be read ({error}); expected the settings of an adapted model") from error
    if not isinstance(content, dict) or content.pop("kind", None) != KIND:
        return None
    try:
        return AdaptedSettings(**{**content, "class_names": tuple(content["class_names"])})
    except (TypeError, KeyError) as error:
        raise EncoderError(f"{file} is incomplete or of another version ({error}); adapt the model again") from error


def with_classifier(folder: Path, settings: AdaptedSettings, base: ImageTextModel) -> ImageTextModel:
    """The base model with the classifier in a folder.

    Args:
        folder: of the adapted model.
        settings: in it.
        base: the model that was adapted.

    Raises:
        EncoderError: the classifier cannot be read, or is for another model.
    """
    for found, expected in ((base.space, settings.space), (base.images.space, settings.image_space)):
        if found != expected:
            raise EncoderError(f"{folder} was adapted from {expected}, but {settings.model} is {found}; adapt it again")
    read = cast("_Reader", import_module(_READER).read_adapted)
    return read(folder, settings, base)
