"""Encoders and models of a verb, on the device and in the dtype of its options, and the line that names these."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.encoders.devices import AUTO, DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
    from dinoclip_viz.encoders.dense_models import DepthModel
    from dinoclip_viz.encoders.devices import Computing
    from dinoclip_viz.models import ImageTextModel
    from dinoclip_viz.store import FeatureStore


def encoder_of(arguments: Namespace, name: str, store: FeatureStore | None = None) -> ImageEncoder:
    """The encoder of a name.

    Args:
        arguments: with the options of `add_device`.
        name: as in `load_encoder`.
        store: features that it is compared with; if they are its own, `--dtype auto` is their dtype.

    Raises:
        EncoderError: it cannot be loaded.
        StoreError: the store has its features in another dtype than the given one.
    """
    from dinoclip_viz.encoders import load_encoder
    from dinoclip_viz.encoders.devices import dtype_name
    from dinoclip_viz.store import check_one_dtype

    stored = store.settings.dtype if store is not None else ""
    encoder = load_encoder(name, arguments.device, _followed(arguments.dtype, stored))
    if store is not None and encoder.patch_space == store.patch_space:
        check_one_dtype(name, {str(store.path): stored, "this run": dtype_name(encoder.dtype)})
    show_device(arguments, name, {"images": encoder})
    return encoder


def model_of(
    arguments: Namespace,
    name: str,
    guide: str | None = None,
    dinoiser: str | Path | None = None,
    store: FeatureStore | None = None,
) -> ImageTextModel:
    """The image-text model of a name.

    Args:
        arguments: with the options of `add_device`.
        name, guide, dinoiser: as in `load_model`.
        store: features that its image encoder is compared with, as in `encoder_of`.

    Raises:
        EncoderError: it cannot be loaded.
    """
    from dinoclip_viz.models import load_model

    dtype = _followed(arguments.dtype, store.settings.dtype if store is not None else "")
    model = load_model(name, guide, arguments.device, dtype, dinoiser)
    show_device(arguments, name, model.encoders)
    return model


def text_encoder_of(arguments: Namespace, name: str) -> TextEncoder:
    """The text encoder of a model, as in `load_text_encoder`."""
    from dinoclip_viz.encoders import load_text_encoder

    texts = load_text_encoder(name, arguments.device, arguments.dtype)
    show_device(arguments, f"texts of {name}", {"texts": texts})
    return texts


def depth_model_of(arguments: Namespace, name: str) -> DepthModel:
    """The depth model of a name, as in `load_depth_model`."""
    from dinoclip_viz.encoders.dense_models import load_depth_model

    model = load_depth_model(name, arguments.device, arguments.dtype)
    show_device(arguments, name, {"depth": model})
    return model


def computed(images: Computing, texts: Computing | None = None) -> dict[str, str]:
    """Device and dtype of an encoder, for JSON; `text_dtype` too, where that of the texts differs."""
    from dinoclip_viz.encoders.devices import dtype_name

    known = {"device": str(images.device), "dtype": dtype_name(images.dtype)}
    if texts is not None and texts.dtype != images.dtype:
        known["text_dtype"] = dtype_name(texts.dtype)
    return known


def stored(store: FeatureStore) -> dict[str, str]:
    """Device and dtype of a store's features, for JSON; "" where they are unknown."""
    return {"device": store.settings.device, "dtype": store.settings.dtype}


def check_stored(arguments: Namespace, store: FeatureStore) -> None:
    """Check that no other dtype is asked for than that of features which are stored already.

    Raises:
        StoreError: it is.
    """
    from dinoclip_viz.store import check_one_dtype

    if arguments.dtype != AUTO:
        check_one_dtype(store.settings.encoder, {str(store.path): store.settings.dtype, "--dtype": arguments.dtype})


def show_device(arguments: Namespace, name: str, parts: Mapping[str, Computing]) -> None:
    """Note device and dtype of a model, role -> encoder, in a line for standard error."""
    from dinoclip_viz.encoders.devices import described

    show_line(arguments, f"{name} on {described(parts)}")


def show_line(arguments: Namespace, text: str) -> None:
    """Note a line, which is shown once: at once if the verb shows its progress, else with the answer."""
    line = f"dinoclip: {text}"
    if line in arguments.computing:
        return
    arguments.computing.append(line)
    if arguments.progress:
        print(line, file=sys.stderr)


def _followed(dtype: str, stored: str) -> str:
    """The dtype of a store if none is asked for, so that an encoder matches features that were computed elsewhere."""
    return stored if dtype == AUTO and stored in DTYPES else dtype
