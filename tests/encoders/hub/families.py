"""A model of every family of the catalogue, tiny and with random weights, under its true name on the hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import tiny_models
from tests.encoders.hub import writing

Write = Callable[[Path], object]


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        name: as a user writes it.
        repository: hub id.
        write: writes the model into a folder.
        load: name -> what a user gets; raises EncoderError.
        gated: whether its licence must be accepted.
    """

    name: str
    repository: str
    write: Write
    load: Callable[[str], Any]
    gated: bool = False


def image(name: str) -> Any:
    """Vectors of an image by an image encoder."""
    import dinoclip_viz as dv

    return dv.load_encoder(name, device="cpu").encode(tiny_models.images((64, 48))).pooled


def pair(name: str) -> Any:
    """Cosines of an image and two texts by an image-text model."""
    import dinoclip_viz as dv

    model = dv.load_model(name, device="cpu")
    return dv.classify(model, tiny_models.images((64, 48)), ["a red cat", "a blue dog"])


def texts(name: str) -> Any:
    """Vectors of two texts by a text encoder."""
    from dinoclip_viz.encoders import load_text_encoder

    return load_text_encoder(name, device="cpu").encode(["a red cat", "a dog"]).pooled


def answer(name: str) -> Any:
    """Loads a vision-language model."""
    import dinoclip_viz as dv

    return dv.load_vlm(name, device="cpu")


def depth(name: str) -> Any:
    """Loads a depth model."""
    from dinoclip_viz.encoders.dense_models import load_depth_model

    return load_depth_model(name, device="cpu")


def projector(name: str) -> Any:
    """Loads a projector."""
    import dinoclip_viz as dv

    return dv.Projector.from_pretrained(name)


FAMILIES = {
    "DINOv2": Family("dinov2-small", "facebook/dinov2-small", tiny_models.tiny_dinov2, image),
    "DINOv2 with registers": Family(
        "dinov2-small-registers",
        "facebook/dinov2-with-registers-small",
        tiny_models.tiny_dinov2_with_registers,
        image,
    ),
    "DINOv3": Family(
        "dinov3-vits16", "facebook/dinov3-vits16-pretrain-lvd1689m", tiny_models.tiny_dinov3, image, gated=True
    ),
    "DINOv3 ConvNeXt": Family(
        "dinov3-convnext-tiny",
        "facebook/dinov3-convnext-tiny-pretrain-lvd1689m",
        tiny_models.tiny_dinov3_convnext,
        image,
        gated=True,
    ),
    "DINO": Family("dino-vits8", "facebook/dino-vits8", tiny_models.tiny_dino, image),
    "I-JEPA": Family("ijepa-vith14", "facebook/ijepa_vith14_1k", tiny_models.tiny_ijepa, image),
    "Pixio": Family("pixio-vitb16", "facebook/pixio-vitb16", tiny_models.tiny_pixio, image, gated=True),
    "CLIP": Family("clip-vit-base-patch16", "openai/clip-vit-base-patch16", tiny_models.tiny_clip, pair),
    "MetaCLIP 2": Family(
        "metaclip-2-worldwide-s16", "facebook/metaclip-2-worldwide-s16", tiny_models.tiny_metaclip2, pair
    ),
    "SigLIP": Family("siglip-base-patch16-224", "google/siglip-base-patch16-224", tiny_models.tiny_siglip, pair),
    "SigLIP 2": Family("siglip2-base-patch16-224", "google/siglip2-base-patch16-224", tiny_models.tiny_siglip, pair),
    "TIPSv2": Family("tipsv2-b14", "google/tipsv2-b14", tiny_models.tiny_tips, pair),
    "open_clip": Family("openai-vit-b-32", "timm/vit_base_patch32_clip_224.openai", tiny_models.tiny_openclip, pair),
    "open_clip SigLIP": Family("openclip-siglip-b-16", "timm/ViT-B-16-SigLIP", writing.tiny_openclip_siglip, pair),
    "hf-hub:": Family("hf-hub:laion/tiny-clip", "laion/tiny-clip", tiny_models.tiny_openclip, pair),
    "timm": Family("mae-vitb16", "timm/vit_base_patch16_224.mae", writing.tiny_timm, image),
    "sentence-transformers": Family(
        "sentence-transformers/all-MiniLM-L6-v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        writing.tiny_sentences,
        texts,
    ),
    "PaliGemma 2": Family(
        "paligemma2-3b-mix-224", "google/paligemma2-3b-mix-224", tiny_models.tiny_paligemma, answer, gated=True
    ),
    "Depth Anything": Family(
        "depth-anything/Depth-Anything-V2-Small-hf",
        "depth-anything/Depth-Anything-V2-Small-hf",
        writing.tiny_depth,
        depth,
    ),
    "projector": Family("someone/dino-to-clip", "someone/dino-to-clip", writing.tiny_projector, projector),
}
"""Name of a family -> its model."""

TINY_OPEN_CLIP = {"ViT-B-32-quickgelu": "open_clip", "ViT-B-16-SigLIP": "open_clip SigLIP"}
"""open_clip's name of a model -> its family; open_clip knows their sizes, which the tiny ones replace."""


def write_all(folder: Path) -> Path:
    """Write every family into the folder of a test hub."""
    for family in FAMILIES.values():
        family.write(folder / family.repository)
    return folder


@contextmanager
def tiny_open_clip(folder: Path) -> Iterator[None]:
    """open_clip's models of `TINY_OPEN_CLIP` with the sizes of the tiny ones inside the block.

    Args:
        folder: of the test hub.
    """
    import open_clip.factory

    known = open_clip.factory._MODEL_CONFIGS
    before = {name: known[name] for name in TINY_OPEN_CLIP}
    for name, family in TINY_OPEN_CLIP.items():
        settings = json.loads((folder / FAMILIES[family].repository / "open_clip_config.json").read_text())
        known[name] = {**settings["model_cfg"], "quick_gelu": before[name].get("quick_gelu", False)}
    try:
        yield
    finally:
        known.update(before)
