"""The line on real models, where a photograph meets the playground's."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

_ASK = "vlm.ask"
_VERBS = {
    "zero_shot.classify": (("images",), "--model"),
    "open_vocabulary.heatmap": (("image",), "--model"),
    "pca.pca": (("images",), "--encoder"),
    "correspondence.match": (("first", "second"), "--encoder"),
    "tokens": (("image",), "--encoder"),
    "report": (("folder",), "--model"),
    _ASK: (("image",), "--model"),
}
"""Module of a verb -> its arguments that name images, and the option of its model."""


def advice(arguments: Namespace, words: Sequence[str]) -> str:
    """One line with the command for real models, where a playground model is about to see photographs; "" elsewhere.

    Args:
        arguments: of the verb.
        words: after `dinoclip`, as they were typed.
    """
    from dinoclip_viz.encoders import recommended

    verb = arguments.run.__module__.removeprefix("dinoclip_viz.cli.")
    if verb not in _VERBS:
        return ""
    names, option = _VERBS[verb]
    values = [getattr(arguments, name) for name in names]
    images = [image for value in values for image in (value if isinstance(value, list) else [value])]
    model = str(getattr(arguments, option.removeprefix("--")))
    if not Path(model).name.startswith("playground") or all(_is_scene(image) for image in images):
        return ""
    real = recommended.IMAGES_AND_TEXTS if option == "--model" else recommended.IMAGES
    real = recommended.QUESTIONS if verb == _ASK else real
    command = shlex.join(["dinoclip", *_without(words, option), option, real])
    size = "gated" if verb == _ASK else recommended.download_size(real)
    download = f"{size}, {recommended.licences(real)}"
    return f"{model} knows the playground's synthetic scenes only; for photographs: {command} (download: {download})"


def _is_scene(image: str) -> bool:
    """Whether an image lies where `dinoclip playground draw` wrote it, or names no photograph that exists."""
    if "://" in image:
        return False
    path = Path(image).expanduser()
    folders = (path, path.parent, path.parent.parent)
    return not path.exists() or any((folder / "scenes.json").is_file() for folder in folders)


def _without(words: Sequence[str], option: str) -> list[str]:
    """The words without an option and its value."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or word.startswith(f"{option}="):
            skip = False
        elif word == option:
            skip = True
        else:
            kept.append(word)
    return kept
