"""Recommended published models for photographs, with their download size and licences."""

from __future__ import annotations

from dinoclip_viz.encoders.catalog import find

IMAGES, IMAGES_AND_TEXTS = "dinov2-small", "clip-vit-base-patch16"
QUESTIONS = "paligemma2-3b-mix-224"
"""Vision-language model, whose licence must be accepted on the hub."""
TITLES = {IMAGES: "DINOv2-small", IMAGES_AND_TEXTS: "CLIP ViT-B/16"}
_BYTES = 4  # per parameter: weights are published as float32


def download_size(*names: str) -> str:
    """Approximate download size of the weights of catalogue models, as text.

    Examples:
        >>> download_size("dinov2-small"), download_size("dinov2-small", "clip-vit-base-patch16")
        ('about 90 MB', 'about 0.7 GB')
    """
    megabytes = sum(find(name).parameters for name in names) * _BYTES
    return f"about {megabytes / 1000:.1f} GB" if megabytes >= 500 else f"about {round(megabytes, -1):.0f} MB"


def licences(*names: str) -> str:
    """Licences of catalogue models as text, each once.

    Examples:
        >>> licences("dinov2-small", "clip-vit-base-patch16")
        'Apache-2.0 and MIT'
    """
    return " and ".join(dict.fromkeys(find(name).licence for name in names))
