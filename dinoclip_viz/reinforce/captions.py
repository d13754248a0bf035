"""Further captions of images: those of the playground's scenes, or by an image-to-text model of transformers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import torch
from PIL import Image

from dinoclip_viz.data.base import Sample
from dinoclip_viz.data.playground import DrawnImage
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.devices import AUTO, chosen_device, chosen_dtype
from dinoclip_viz.encoders.errors import one_line
from dinoclip_viz.encoders.hub import fetch
from dinoclip_viz.encoders.loading import HUB_ID, quietly
from dinoclip_viz.playground.world import sample as scene_of
from dinoclip_viz.playground.world import words

NONE, SCENES = "none", "scenes"
_LONGEST = 60  # tokens
_TOP_P = 0.9  # as published for MobileCLIP2's captions


class Captioner(Protocol):
    """Writes captions of images.

    Attributes:
        name: as the user gave it.
    """

    @property
    def name(self) -> str:
        """The captioner's name."""
        ...

    def captions_of(self, sample: Sample, image: Image.Image, seed: int, count: int) -> tuple[str, ...]:
        """Up to `count` captions of an image, determined by the arguments alone.

        Args:
            sample: of the source.
            image: its RGB image.
            seed: of the store.
            count: number of captions, 1 or more.
        """
        ...


class SceneCaptions:
    """The further captions that come with the playground's scenes: two that mention actions, and a paraphrase."""

    name = SCENES

    def captions_of(self, sample: Sample, image: Image.Image, seed: int, count: int) -> tuple[str, ...]:
        """The captions of one scene; those of other images are none, and `seed` is the scene's own."""
        drawn = sample.image
        if not isinstance(drawn, DrawnImage):
            raise ValueError(f"captioner {SCENES!r} on image {sample.key!r}; expected a scene of the playground")
        layout, look = scene_of(drawn.seed, drawn.index, drawn.objects)
        every = words(drawn.seed, drawn.index, layout, look, world=2)
        known = set(sample.captions)
        return tuple(dict.fromkeys(text for text in every if text not in known))[:count]


class ModelCaptions:
    """Captions sampled from an image-to-text model of transformers, such as BLIP.

    Sampling with top-p .9; a caption ends at its first full stop, as published for MobileCLIP2 (Faghri et al. 2025).

    Args:
        name: hub id or local folder; only safetensors are read.
        device, dtype: as in `load_encoder`.

    Raises:
        EncoderError: the model cannot be loaded, or is of another kind.
    """

    def __init__(self, name: str, device: str | torch.device | None = AUTO, dtype: str | torch.dtype | None = AUTO):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.name = name
        self._device = chosen_device(device)
        self._dtype = chosen_dtype(dtype, self._device, name)
        folder = Path(name).expanduser()
        try:
            if not folder.is_dir():
                if not HUB_ID.fullmatch(name):
                    raise ValueError(f"there is no folder {name}")
                folder, _ = fetch(name, name, "transformers")
            with quietly():
                self._processor: Any = AutoProcessor.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False
                )
                model: Any = AutoModelForImageTextToText.from_pretrained(
                    folder, use_safetensors=True, dtype=self._dtype, local_files_only=True, trust_remote_code=False
                )
        except (EncoderError, OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
            raise EncoderError(
                f"captioner {name} cannot be loaded ({one_line(error)}); expected an image-to-text model of "
                "transformers, such as Salesforce/blip-image-captioning-base, or none"
            ) from error
        self._model = model.eval().requires_grad_(False).to(self._device)
        self._lock = Lock()  # one generation at a time: sampling has one state

    def captions_of(self, sample: Sample, image: Image.Image, seed: int, count: int) -> tuple[str, ...]:
        """Up to `count` captions; equal and empty ones are skipped."""
        digest = hashlib.sha256(f"{seed} {sample.key}".encode("utf-8", "surrogatepass")).digest()
        inputs = self._processor(images=image, return_tensors="pt").to(self._device, self._dtype)
        devices = [self._device] if self._device.type == "cuda" else []
        with self._lock, torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
            tokens = self._model.generate(
                **inputs, do_sample=True, top_p=_TOP_P, max_new_tokens=_LONGEST, num_return_sequences=count
            )
        texts = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return tuple(dict.fromkeys(short for text in texts if (short := first_sentence(text))))


def first_sentence(text: str) -> str:
    """The text up to its first full stop, with single spaces.

    Examples:
        >>> first_sentence("a cat  on grass. it sleeps.")
        'a cat on grass'
    """
    return " ".join(text.split(".", maxsplit=1)[0].split())


def load_captioner(
    name: str, device: str | torch.device | None = AUTO, dtype: str | torch.dtype | None = AUTO
) -> Captioner | None:
    """The captioner of a name: None for "none", the scenes' own captions for "scenes", else a model.

    Args:
        name: "none", "scenes", hub id or local folder of an image-to-text model.
        device, dtype: as in `load_encoder`.

    Raises:
        EncoderError: the model cannot be loaded.
    """
    if name == NONE:
        return None
    return SceneCaptions() if name == SCENES else ModelCaptions(name, device, dtype)
