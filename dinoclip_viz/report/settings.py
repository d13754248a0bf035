"""The settings of a report, and the record of what made it: models, revisions, device, versions."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dinoclip_viz.data.locations import shown
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.encoders.devices import description, is_embedded
from dinoclip_viz.images import Levels
from dinoclip_viz.pipeline.embedding import shown_levels
from dinoclip_viz.report.reading import Asked
from dinoclip_viz.tasks.embedding_map.projection import Method

LIBRARIES = ("torch", "torchvision", "transformers", "open_clip_torch", "timm", "numpy", "pillow")
MAX_IMAGES = 100


@dataclass(frozen=True)
class ReportSettings:
    """The options of a report.

    Attributes:
        labels: none, or two or more.
        prompts: of heat maps, none or more.
        pairs: names of two images each, none or more.
        method: of heat maps; None for the best measured for the model.
        max_images: largest number of images.
        levels: of images, as in `load_image`.
        projection: of the embedding map, as in `project`.
        seed: of the embedding map.
        title: of the page; "" for the folder's name.
    """

    labels: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    method: str | None = None
    max_images: int = MAX_IMAGES
    levels: Levels = None
    projection: Method = "auto"
    seed: int = 0
    title: str = ""

    def command(self, folder: Path, model: str, guide: str, out: Path) -> str:
        """The command that makes the report, with names of folders and files alone, not their paths.

        Args:
            folder: of the images.
            model: name of the image-text model.
            guide: of its guide, "" for the model's own.
            out: the HTML file.

        Examples:
            >>> ReportSettings(prompts=("a cat",)).command(Path("/my/photos"), "playground", "", Path("out/r.html"))
            "dinoclip report photos --model playground --prompt 'a cat' --out r.html"
        """
        words = ["dinoclip", "report", shown(folder.resolve().name) or ".", "--model", portable(model)]
        words += ["--guide", portable(guide)] if guide else []
        words += ["--labels", _labels(self.labels)] if self.labels else []
        words += [word for prompt in self.prompts for word in ("--prompt", prompt)]
        words += [word for pair in self.pairs for word in ("--pairs", *pair)]
        words += ["--method", self.method] if self.method else []
        words += ["--max-images", str(self.max_images)] if self.max_images != MAX_IMAGES else []
        words += ["--levels", shown_levels(self.levels).replace(" ", "")] if self.levels else []
        words += ["--projection", self.projection] if self.projection != "auto" else []
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--title", self.title] if self.title else []
        return shlex.join([*words, "--out", shown(out.name)])


@dataclass(frozen=True)
class ModelRow:
    """An encoder of the report.

    Attributes:
        role: such as "images".
        name: as it was loaded, without the path of a local folder.
        revision: commit on the hub, or the reason that there is none.
        computed_on: device and dtype.
    """

    role: str
    name: str
    revision: str
    computed_on: str


def model_rows(asked: Asked) -> list[ModelRow]:
    """The encoders that computed something."""
    vision = asked.vision
    rows = [_row("image features", vision)]
    if asked.labels or asked.prompts:
        rows += [_row(role, one) for role, one in asked.model.encoders.items() if one is not vision]
    return rows


def versions() -> dict[str, str]:
    """Library -> version, this package, Python and the system first."""
    found = {
        "dinoclip-viz": str(import_module("dinoclip_viz").__version__),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a folder, not installed
            found[name] = "not installed"
    return found


def now() -> str:
    """Date and time with the time zone.

    Examples:
        >>> len(now()) >= len("2026-11-20 12:00:00 UTC")
        True
    """
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def portable(name: str) -> str:
    """The name of a model; of a local folder, its last part, as the rest belongs to one machine.

    Examples:
        >>> portable("facebook/dinov2-small"), portable("/home/me/my-projector/")
        ('facebook/dinov2-small', 'my-projector')
    """
    path = Path(name)
    return path.name if path.is_absolute() or path.is_dir() or name[:1] in ".~" else name


def listed(texts: Sequence[str], most: int = 40) -> str:
    """Texts with commas between them, and the number of the others.

    Examples:
        >>> listed(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _labels(labels: Sequence[str]) -> str:
    """The labels as `--labels` accepts them; the name of a file where there are many or one has a comma."""
    plain = len(labels) <= 20 and not any("," in label for label in labels)
    return ",".join(labels) if plain else "labels.txt"


def _row(role: str, encoder: ImageEncoder | TextEncoder) -> ModelRow:
    revision = getattr(encoder, "revision", None)
    if revision is None:
        local = Path(encoder.name).expanduser().is_dir()
        revision = "part of the package" if is_embedded(encoder.name) else "local folder" if local else "unknown"
    return ModelRow(role, portable(encoder.name), revision, description(encoder.device, encoder.dtype))
