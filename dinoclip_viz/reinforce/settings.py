"""The manifest of a reinforced store: its settings, and the folders of its students and teachers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from dinoclip_viz.disk import LOCK
from dinoclip_viz.reinforce.augment import Augmentation, libraries
from dinoclip_viz.store import StoreError
from dinoclip_viz.store.writing import put_json

MANIFEST = "reinforced.json"
FORMAT = 1
ROWS = 512  # samples per shard


@dataclass(frozen=True)
class ReinforcedSettings:
    """The settings that views and captions depend on.

    Attributes:
        source: name of the data source.
        seed: of the views' parameters and of the captioner, 0 or more.
        views: K, number of random views per image, 1 or more.
        captioner: "none", "scenes" for the further captions of the playground's scenes, or a model's name.
        captions: number of captions that a captioner writes per image.
        shard_size: samples per shard.
        augmentation: settings from which the views are drawn.
        levels: the values shown as black and white, as in `StoreSettings`; "" for the whole range.

    Raises:
        ValueError: a number is out of its range.
    """

    source: str
    seed: int = 0
    views: int = 8
    captioner: str = "none"
    captions: int = 5
    shard_size: int = ROWS
    augmentation: Augmentation = field(default_factory=Augmentation)
    levels: str = ""

    def __post_init__(self) -> None:
        for name, lowest in (("seed", 0), ("views", 1), ("captions", 1), ("shard_size", 1)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} is {getattr(self, name)}; expected {lowest} or more")


@dataclass(frozen=True)
class Manifest:
    """What `reinforced.json` holds.

    Attributes:
        settings: of views and captions.
        versions: library -> version, and interpolations, that the views were first made with.
        students: folders of the encoders to train on, of images only.
        teachers: folders of the image-text models whose vectors are the targets, the first one's captions first.
        complete: whether all shards of all folders are written.
    """

    settings: ReinforcedSettings
    versions: Mapping[str, str]
    students: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    complete: bool = False

    def write(self, folder: Path) -> None:
        """Write it into the folder of the store, atomically."""
        put_json(folder / MANIFEST, {"format": FORMAT, **asdict(self)})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a reinforced store.

    Raises:
        StoreError: there is none, or it is invalid.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise StoreError(
            f"{folder} is no reinforced store (no {MANIFEST}); create one with `dinoclip reinforce SOURCE --out STORE`"
        )
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        settings = dict(found["settings"])
        drawn = dict(settings.pop("augmentation"))
        drawn |= {name: tuple(drawn[name]) for name in ("scale", "ratio")}
        return Manifest(
            ReinforcedSettings(**settings, augmentation=Augmentation(**drawn)),
            dict(found["versions"]),
            tuple(found["students"]),
            tuple(found["teachers"]),
            bool(found["complete"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{file} is not the manifest of a reinforced store ({error}); reinforce again") from error


def claimed(folder: Path, wanted: ReinforcedSettings) -> Manifest:
    """The manifest of a folder: a new one, or the stored one if its settings are those wanted.

    Raises:
        StoreError: the folder holds something else, or a reinforced store with other settings.
    """
    if not (folder / MANIFEST).is_file():
        if folder.is_dir() and any(not file.name.startswith(LOCK) for file in folder.iterdir()):
            raise StoreError(
                f"{folder} is not empty and holds no reinforced store (no {MANIFEST}); choose another folder"
            )
        manifest = Manifest(wanted, libraries())
        manifest.write(folder)
        return manifest
    manifest = read_manifest(folder)
    found = asdict(manifest.settings) | asdict(manifest.settings.augmentation)
    expected = asdict(wanted) | asdict(wanted.augmentation)
    for name in expected:
        if name != "augmentation" and found[name] != expected[name]:
            raise StoreError(
                f"{folder} is a reinforced store with {name} {found[name]!r}, not {expected[name]!r}; "
                "take the stored settings, or choose another folder"
            )
    return manifest


def joined(manifest: Manifest, students: tuple[str, ...], teachers: tuple[str, ...]) -> Manifest:
    """The manifest with further students and teachers, those that it has already first."""
    return replace(
        manifest,
        students=tuple(dict.fromkeys((*manifest.students, *students))),
        teachers=tuple(dict.fromkeys((*manifest.teachers, *teachers))),
        complete=False,
    )
