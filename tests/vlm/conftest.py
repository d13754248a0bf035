"""A tiny PaliGemma that was taught a few answers by heart, and a mask codec of the published layout."""

import pytest
import torch

from dinoclip_viz.vlm.masks import MaskCodec, save_mask_codec
from tests.vlm.lessons import LESSONS


@pytest.fixture(scope="session")
def taught(write_tiny, tmp_path_factory):
    """Folder of the model."""
    from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

    folder = write_tiny.tiny_paligemma(tmp_path_factory.mktemp("paligemma") / "taught")
    model = PaliGemmaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    processor = PaliGemmaProcessor.from_pretrained(folder, backend="pil")
    images, prompts, answers = zip(*LESSONS, strict=True)
    batch = processor(
        images=list(images),
        text=[f"<image>{prompt}" for prompt in prompts],
        suffix=list(answers),
        return_tensors="pt",
        padding="longest",
    )
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0)
    for step in range(250):
        optimiser.param_groups[0]["lr"] = 0.01 * min(1, (step + 1) / 10)
        loss = model(**batch).loss
        if loss < 0.02:
            break
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    if loss > 0.05:
        raise RuntimeError(f"the lessons were not learnt: loss {loss:.3f}")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def codec_folder(tmp_path_factory):
    """Folder of a mask codec with random weights, for which about half of the pixels are inside."""
    torch.manual_seed(0)
    codec = MaskCodec(8, 6, (16, 8, 8, 8), (2, 3, 4, 7)).requires_grad_(False)
    codec.codebook *= 20
    codec.decoder[-1].bias -= codec.from_latents(codec.vectors(torch.arange(128).reshape(8, 16))).median()
    folder = tmp_path_factory.mktemp("masks") / "codec"
    save_mask_codec(codec, folder)
    return folder


@pytest.fixture(scope="session")
def model(taught, codec_folder):
    """The loaded model with its mask codec."""
    from dinoclip_viz.vlm import load_vlm

    return load_vlm(str(taught), device="cpu", masks=codec_folder)
