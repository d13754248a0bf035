"""Speeds, each as a ratio within one run: `python tests/benchmarks/speed.py` prints them as JSON.

Not a test: results depend on the machine and its load.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.models import ImageTextModel


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Median time of a call, after a warm-up call."""
    work()
    return float(np.median([timed(work) for _ in range(rounds)]))


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def drawing() -> dict[str, float]:
    """Scenes per second with ground truth, 96 px, one process."""
    list(dv.playground.stream(1000, 50, 96))
    begun = time.perf_counter()
    count = sum(1 for _ in dv.playground.stream(2000, 600, 96))
    return {"scenes_per_second": count / (time.perf_counter() - begun)}


def embedding(encoder: ImageEncoder, model: torch.nn.Module, paths: list[Path], batch: int) -> dict[str, float]:
    """Images per second from JPEG files through `encode_sources`, relative to the bare forward pass."""
    size = encoder.size
    pixels = torch.randn(batch, 3, size, size)

    def bare() -> None:
        with torch.no_grad():
            for _ in range(len(paths) // batch):
                model(pixel_values=pixels)

    forward, whole = [], []
    bare()
    for _ in range(9):  # alternating runs, so that load on the machine affects both
        forward.append(timed(bare))
        whole.append(timed(lambda: list(dv.encode_sources(encoder, paths, batch_size=batch))))
    rates = len(paths) / float(np.median(whole)), len(paths) / float(np.median(forward))
    ratio = float(np.median(np.array(forward) / np.array(whole)))
    return {"images_per_second": rates[0], "bare_forward": rates[1], "ratio": ratio}


def second_prompt(model: ImageTextModel, image: Image.Image, size: int) -> dict[str, float]:
    """Time of a prompt on an encoded image, relative to encoding image and prompt."""
    features = model.encode_images([image], size, "whole", [model.default_method])
    wholes, prompts = [], []
    for _ in range(15):  # alternating runs, as above
        wholes.append(seconds(lambda: dv.heatmap(model, image, ["a cat"], size=size), 1))
        prompts.append(seconds(lambda: dv.heatmap(model, features, ["a dog"]), 20))
    whole, prompt = float(np.median(wholes)), float(np.median(prompts))
    return {"milliseconds": 1000 * prompt, "picture_and_prompt": 1000 * whole, "ratio": whole / prompt}


def dinov2_small(folder: Path) -> str:
    """DINOv2-small's size with random weights."""
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    settings = Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518)
    Dinov2Model(settings).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}).save_pretrained(folder)
    return str(folder)


def clip_b16(folder: Path) -> str:
    """CLIP ViT-B/16's size with random weights and the embedded tokenizer."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(str(PLAYGROUND / "playground-clip"))
    names = {f"{key}_token_id": getattr(tokenizer, f"{key}_token_id") for key in ("bos", "eos", "pad")}
    text = {"vocab_size": len(tokenizer), "projection_dim": 512, **names}
    vision = {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "image_size": 224, "patch_size": 16, "projection_dim": 512,
    }  # fmt: skip
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=512)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    return str(folder)


def main() -> None:
    """Measure all, print one JSON object."""
    from transformers import Dinov2Model

    figures: dict[str, object] = {"threads": torch.get_num_threads(), "drawing": drawing()}
    scene = dv.playground.draw(3000, 1, 192)[0].image
    figures["second_prompt_playground_192px"] = second_prompt(dv.load_model("playground"), scene, 192)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for index, scene in enumerate(dv.playground.stream(3001, 32, 480)):
            paths.append(folder / f"{index}.jpg")
            scene.image.resize((640, 480)).save(paths[-1], quality=90)
        small = dinov2_small(folder / "small")
        figures["embedding_dinov2_small_224px"] = embedding(
            dv.load_encoder(small), Dinov2Model.from_pretrained(small).eval(), paths, 16
        )
        embedded = Dinov2Model.from_pretrained(str(PLAYGROUND / "playground-dino"), dtype=torch.float32).eval()
        figures["embedding_playground_dino_96px"] = embedding(
            dv.load_encoder("playground-dino"), embedded, paths * 4, 32
        )
        figures["second_prompt_clip_b16_448px"] = second_prompt(dv.load_model(clip_b16(folder / "clip")), scene, 448)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
