"""State common to all visitors: the loaded models, the features of their images, and fitted PCA bases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock
from time import perf_counter
from typing import Any

from dinoclip_viz.app.cache import Cache, FeatureCache, Shelf, size_of
from dinoclip_viz.app.handlers.files import ServedFiles
from dinoclip_viz.app.images import GivenImage
from dinoclip_viz.app.offer import Offer, here
from dinoclip_viz.app.scenes import Scenes
from dinoclip_viz.encoders.base import EncoderError, Fit, ImageEncoder, ImageFeatures
from dinoclip_viz.encoders.devices import AUTO
from dinoclip_viz.encoders.high_resolution.cost import Pace, measure_pace
from dinoclip_viz.encoders.high_resolution.tiles import encode_tiled
from dinoclip_viz.images import default_longer
from dinoclip_viz.models import ImageTextModel, load_model
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA

NO_GUIDE = ""
DOWNLOAD = "(download)"
ANSWERS, MOST_ANSWERS = 64 * 2**20, 256
"""Bytes of kept answers, without their files, and their number."""
MOST_FURTHER = 3
"""Number of models that stay loaded for single tabs."""


class Workbench:
    """Models by key, features by image, PCA bases by id. A browser holds keys and ids, never tensors.

    Args:
        model: the first model, or its name; it stays loaded.
        guide: name of the DINO that pools CLIP's patches and provides PCA maps; "" or None for the model's own.
        most: number of further models that stay loaded.
        dinoiser: CLIP-DINOiser's trained layers for the first model's CLIP, as in `load_model`.
        allow: further models that a public server offers, as in `Offer`; None for a page that is not public.
        device, dtype: of all models, as in `load_model`.
        fallback: name of the model to start with where the first cannot be loaded; None raises.
        photographs: files that the page shows in place of synthetic scenes.
        runner: the function of a host that lends an accelerator for the length of a call, through which every model
            runs, as in `handlers.remote`; None for this process.

    Attributes:
        problem: why the first model could not be loaded; "" where it was.
        files: the images and files that the page serves; answers: the kept answers of handlers.
        running: held by the one handler that runs a model.
        further: models that a single tab loads, by key.
        offer: the models that visitors may choose.
    """

    def __init__(
        self,
        model: str | ImageTextModel = "playground",
        guide: str | None = None,
        most: int = 2,
        dinoiser: str | Path | None = None,
        allow: Sequence[str] | None = None,
        device: str = AUTO,
        dtype: str = AUTO,
        fallback: str | None = None,
        photographs: Sequence[Path] = (),
        runner: Callable[..., Any] | None = None,
    ) -> None:
        self.device, self.dtype, self.runner = device, dtype, runner
        self.features_kept = FeatureCache()
        self.files = ServedFiles()
        self.answers: Cache[Any] = Cache(ANSWERS, size_of, MOST_ANSWERS)
        self.running = RLock()
        self.further: Cache[Any] = Cache(MOST_FURTHER, lambda model: 1)
        self.bases: Shelf[list[PatchPCA]] = Shelf(64)
        self._paces: dict[str, Pace] = {}
        self._seconds: Shelf[float] = Shelf(1 << 12)
        self._others: Shelf[ImageTextModel] = Shelf(most)
        self._lock = RLock()
        self.problem = ""
        try:
            first = load_model(model, guide or None, device, dtype, dinoiser) if isinstance(model, str) else model
        except EncoderError as error:
            if fallback is None:
                raise
            self.problem = f"{model} cannot be loaded now: {error}."
            first, guide = load_model(fallback, None, device, dtype), None
        self.scenes = Scenes(() if self.problem else photographs)
        self.offer = Offer(first.name, guide or NO_GUIDE, allow)
        self.offer.hide(encoder.name for encoder in first.encoders.values())
        self.first_name, self.first_guide = self.offer.model, self.offer.guide
        self.first_key = key_of(self.first_name, self.first_guide)
        self._first = first

    def model(self, key: str) -> ImageTextModel:
        """The model of a key; loaded, unless it is.

        Raises:
            EncoderError: the model cannot be loaded, or is not offered by this page.
        """
        if key == self.first_key:
            return self._first
        name, _, guide = key.partition("|")
        self.offer.check(name, guide)
        with self._lock:
            known = self._others.get(key)
            if known is None:
                known = load_model(self.offer.source(name), self.offer.source(guide) or None, self.device, self.dtype)
                self.offer.hide(encoder.name for encoder in known.encoders.values())
                self._others.put(known, key)
        return known

    def model_names(self) -> list[str]:
        """Offered models, as in `Offer.models`."""
        return self.offer.models()

    def guide_names(self) -> list[str]:
        """Offered guides, as in `Offer.guides`."""
        return self.offer.guides()

    def tidy(self, value: Any) -> Any:
        """An answer whose texts name no folder of a public server."""
        if not self.offer.public:
            return value
        if isinstance(value, str):
            return self.offer.tidy(value)
        if isinstance(value, list | tuple):
            return type(value)(self.tidy(part) for part in value)
        if isinstance(value, dict):
            return {name: self.tidy(part) for name, part in value.items()}
        return value

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
    return [(name if here(name) else f"{name} {DOWNLOAD}", name) for name in names]
