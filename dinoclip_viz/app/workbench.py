"""State common to all visitors: the loaded models, the features of their images, and fitted PCA bases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from time import perf_counter

from dinoclip_viz.app.cache import FeatureCache, Shelf
from dinoclip_viz.app.images import GivenImage
from dinoclip_viz.app.scenes import Scenes
from dinoclip_viz.encoders.base import EncoderError, Fit, ImageEncoder, ImageFeatures
from dinoclip_viz.encoders.catalog import CATALOG, CatalogEntry, on_disk
from dinoclip_viz.encoders.high_resolution.cost import Pace, measure_pace
from dinoclip_viz.encoders.high_resolution.tiles import encode_tiled
from dinoclip_viz.images import default_longer
from dinoclip_viz.models import ImageTextModel, load_model
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA

NO_GUIDE = ""
DOWNLOAD = "(download)"


class Workbench:
    """Models by key, features by image, PCA bases by id. A browser holds keys and ids, never tensors.

    Args:
        model: the first model, or its name; it stays loaded.
        guide: name of the DINO that pools CLIP's patches and provides PCA maps; "" or None for the model's own.
        most: number of further models that stay loaded.
        dinoiser: CLIP-DINOiser's trained layers for the first model's CLIP, as in `load_model`.
    """

    def __init__(
        self,
        model: str | ImageTextModel = "playground",
        guide: str | None = None,
        most: int = 2,
        dinoiser: str | Path | None = None,
    ) -> None:
        self.features_kept = FeatureCache()
        self.bases: Shelf[list[PatchPCA]] = Shelf(64)
        self.scenes = Scenes()
        self._paces: dict[str, Pace] = {}
        self._seconds: Shelf[float] = Shelf(1 << 16)
        self._others: Shelf[ImageTextModel] = Shelf(most)
        self._lock = RLock()
        first = load_model(model, guide or None, dinoiser=dinoiser) if isinstance(model, str) else model
        self.first_name, self.first_guide = first.name, guide or NO_GUIDE
        self.first_key = key_of(first.name, guide)
        self._first = first

    def model(self, key: str) -> ImageTextModel:
        """The model of a key; loaded, unless it is.

        Raises:
            EncoderError: the model cannot be loaded, or is not offered by this page.
        """
        if key == self.first_key:
            return self._first
        name, _, guide = key.partition("|")
        if name not in self.model_names() or guide not in ("", *self.guide_names()):
            raise EncoderError(
                f"found model {name!r} with guide {guide!r}, which this page does not offer; use its lists"
            )
        with self._lock:
            known = self._others.get(key)
            if known is None:
                known = load_model(name, guide or None)
                self._others.put(known, key)
        return known

    def model_names(self) -> list[str]:
        """Offered models: the first one, the playground, then the catalogue's, those on disk first."""
        names = [self.first_name, "playground", *_names("image-text")]
        return list(dict.fromkeys(names))

    def guide_names(self) -> list[str]:
        """Offered guides: the image encoders of the catalogue, those on disk first."""
        return list(dict.fromkeys([*([self.first_guide] if self.first_guide else []), *_names("image")]))

    def ready(self, key: str, image: GivenImage, method: str, size: int | None = None) -> tuple[ImageFeatures, float]:
        """Features of the whole image for one heat-map method, and the encoding time in seconds; computed once.

        Methods do not reuse each other's passes, so that the times compare.

        Args:
            key: of the model.
            image: the image.
            method: one that the model supports.
            size: longer side in pixels at which it is encoded; None for the encoder's own.
        """
        model, name = self.model(key), f"{key} {size} {method} {image.digest}"

        def encode() -> ImageFeatures:
            start = perf_counter()
            features = model.encode_each([image.image], size, "whole", [method])[0]
            self._seconds.put(perf_counter() - start, name)
            return features

        features = self.features_kept.get((key, "whole", size, image.digest, method), encode)
        return features, self._seconds.get(name) or 0.0

    def cropped(self, key: str, image: GivenImage) -> ImageFeatures:
        """Features with the model's published preprocessing, as for its pooled vector; computed once."""
        model = self.model(key)
        return self.features_kept.get(
            (key, "crop", None, image.digest), lambda: model.encode_images([image.image], methods=())
        )

    def patches(
        self, encoder: ImageEncoder, image: GivenImage, size: int | None = None, tile: int | None = None
    ) -> ImageFeatures:
        """Features of the whole image by an encoder alone, `pooled` in its own space; computed once.

        Args:
            encoder: one of a model's encoders.
            image: the image.
            size: longer side in pixels at which it is encoded; None for the encoder's own.
            tile: side of a tile in pixels; None is one pass.
        """
        if tile is not None:
            longer = size or default_longer(image.image.size, encoder.size)
            return self.features_kept.get(
                (encoder.name, encoder.patch_space, "tiles", longer, tile, image.digest),
                lambda: encode_tiled(encoder, image.image, longer, tile),
            )
        fit: Fit = "whole"
        return self.features_kept.get(
            (encoder.name, encoder.patch_space, fit, size, image.digest),
            lambda: encoder.encode_each([image.image], size, fit)[0],
        )

    def pace(self, encoder: ImageEncoder) -> Pace:
        """Speed of the encoder on this machine; measured once."""
        with self._lock:
            known = self._paces.get(encoder.space)
            if known is None:
                known = self._paces[encoder.space] = measure_pace(encoder)
        return known


def key_of(name: str, guide: str | None) -> str:
    """Key of a model, which a browser holds.

    Examples:
        >>> key_of("playground", None)
        'playground|'
    """
    return f"{name}|{guide or NO_GUIDE}"


def labelled(names: Sequence[str]) -> list[tuple[str, str]]:
    """(label, name) of each name; the label marks models that must be downloaded first.

    Examples:
        >>> labelled(["playground", "clip-vit-base-patch16"])[0]
        ('playground', 'playground')
    """
    return [(name if _here(CATALOG.get(name)) else f"{name} {DOWNLOAD}", name) for name in names]


def _names(kind: str) -> list[str]:
    entries = [entry for entry in CATALOG.values() if entry.kind == kind]
    return [entry.name for entry in sorted(entries, key=lambda entry: not _here(entry))]


def _here(entry: CatalogEntry | None) -> bool:
    """Whether a row is on disk; models outside the catalogue were given at the start."""
    return entry is None or on_disk(entry)
