"""Which models a page offers: all of the catalogue, or on a public server those of an allow-list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.catalog import CATALOG, VISION_LANGUAGE, CatalogEntry, find, on_disk
from dinoclip_viz.encoders.catalog import PLAYGROUND as FOLDER

PLAYGROUND = "playground"
EMBEDDED = (PLAYGROUND, "playground-clip", "playground-dino")
"""Names that every page offers."""
ANSWERING = "playground-paligemma"
"""Embedded vision-language model, which every page offers."""
WEIGHTS = "model.safetensors"


class Offer:
    """The names of models and guides that visitors may choose, and the names that they see.

    Args:
        model: name of the model that the page starts with.
        guide: name of its guide; "" for none.
        allow: on a public server, catalogue names, hub ids or local folders that are offered besides the embedded
            models and those that the page starts with; None is a page that is not public, which offers the whole
            catalogue.

    Raises:
        EncoderError: an allowed name is neither in the catalogue, nor a hub id, nor a folder.

    Attributes:
        public: whether it is an offer of a public server, which shows the last part of a folder's path alone.
        model, guide: as visitors see them.

    Examples:
        >>> Offer("playground", "", allow=["dinov2-small"]).guides()
        ['playground-dino', 'dinov2-small']
    """

    def __init__(self, model: str, guide: str, allow: Sequence[str] | None = None) -> None:
        self.public = allow is not None
        self._folders: dict[str, str] = {}
        self.model, self.guide = self._shown(model), self._shown(guide)
        further = [self._shown(_existing(name)) for name in allow or ()]
        self._allowed = {_catalogued(name) for name in (self.model, *EMBEDDED, ANSWERING, self.guide, *further)}
        self._outside = [name for name in further if _catalogued(name) not in (*CATALOG, PLAYGROUND)]

    def models(self) -> list[str]:
        """Image-text models: the first one, the playground, the catalogue's (on disk first), and other allowed ones."""
        return self._kept([self.model, PLAYGROUND], "image-text")

    def guides(self) -> list[str]:
        """Image encoders: the first guide, the catalogue's, those on disk first, and other allowed ones."""
        return self._kept([self.guide] if self.guide else [], "image")

    def answering(self) -> list[str]:
        """Vision-language models that answer at once: the embedded one, and the catalogue's, those on disk first."""
        names = [name for name in _names(VISION_LANGUAGE) if "-pt-" not in name]  # these need fine-tuning
        kept = [name for name in names if not self.public or name in self._allowed]
        return list(dict.fromkeys([ANSWERING, *kept]))

    def check_answering(self, name: str) -> None:
        """Nothing, if the page offers the vision-language model.

        Raises:
            EncoderError: it does not.
        """
        if name not in self.answering():
            raise EncoderError(f"found model {name!r}, which this page does not offer; choose one of its list")

    def check(self, name: str, guide: str) -> None:
        """Nothing, if the page offers both.

        Raises:
            EncoderError: it does not offer one of them.
        """
        known = (("model", name, self.models()), ("guide", guide, ["", *self.guides()]))
        for kind, given, names in known:
            if given not in names:
                which = ", ".join(filter(None, names)) if self.public else "one of its list"
                raise EncoderError(f"found {kind} {given!r}, which this page does not offer; choose {which}")

    def source(self, name: str) -> str:
        """What is loaded for a name that visitors see."""
        return self._folders.get(name, name)

    def tidy(self, text: str) -> str:
        """The text with the names that visitors see in place of folders."""
        for shown, folder in self._folders.items():
            # not inside a longer word, nor by chance inside encoded data
            text = re.sub(rf"(?<![\w/+]){re.escape(folder)}(?![\w/+=])", shown.replace("\\", r"\\"), text)
        return text

    def hide(self, names: Iterable[str]) -> None:
        """Show these names of encoders, too, without their folders."""
        for name in names:
            self._shown(name)

    def _kept(self, first: list[str], kind: str) -> list[str]:
        names = [*first, *_names(kind)]
        if self.public:
            names = [name for name in names if _catalogued(name) in self._allowed] + self._outside
        return list(dict.fromkeys(names))

    def _shown(self, name: str) -> str:
        """The name; on a public server the last part of a folder's path, marked where that is another model's name."""
        if not self.public or not name or name in CATALOG or name == PLAYGROUND or not Path(name).expanduser().is_dir():
            return name
        shown = Path(name).expanduser().resolve().name
        while shown in CATALOG or shown == PLAYGROUND or self._folders.get(shown, name) != name:
            shown = f"{shown} (local)"
        self._folders[shown] = name
        return shown


def _existing(name: str) -> str:
    """The name, of a model that there may be.

    Raises:
        EncoderError: it is neither in the catalogue, nor a hub id, nor a folder.
    """
    remote = ("/" in name and not name.startswith(("/", ".", "~"))) or ":" in name
    if not (remote or name == PLAYGROUND or Path(name).expanduser().is_dir()):
        find(name)
    return name


def here(name: str) -> bool:
    """Whether a model is on disk; those outside the catalogue were given at the start."""
    entry = CATALOG.get(name)
    return entry is None or on_disk(entry)


def missing(name: str) -> str:
    """One line that an embedded model's weights are absent; "" where they are there, and for other models."""
    if not name.startswith(PLAYGROUND) or (FOLDER / name / WEIGHTS).is_file():
        return ""
    return f"{name} has no weights in this installation; this tab needs them: reinstall the package with its models."


def _names(kind: str) -> list[str]:
    entries: list[CatalogEntry] = [entry for entry in CATALOG.values() if entry.kind == kind]
    return [entry.name for entry in sorted(entries, key=lambda entry: not on_disk(entry))]


def _catalogued(name: str) -> str:
    """The catalogue's name of a hub id; other names as they are."""
    try:
        return find(name).name
    except EncoderError:
        return name
