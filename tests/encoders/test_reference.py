"""CLIP's preprocessing against published pixels; skipped where the reference data is not beside the project."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.encoders import load_encoder

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
IMAGES = REFERENCE / "clip_vitb32_images"

pytestmark = pytest.mark.skipif(not IMAGES.is_dir(), reason=f"reference data is not at {REFERENCE}")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A tiny CLIP with the preprocessing of the published ones: shorter side 224, centre crop 224."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    folder = tmp_path_factory.mktemp("reference") / "clip"
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    vision = {**small, "patch_size": 32, "image_size": 224}
    CLIPModel(CLIPConfig(text_config={**small, "vocab_size": 8}, vision_config=vision)).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return str(folder)


def test_pixels_are_the_published_ones_bit_for_bit(clip_folder):
    preprocessing = load_encoder(clip_folder, device="cpu").preprocessing
    names = sorted(path.stem.removeprefix("pixels_") for path in IMAGES.glob("pixels_*.npy"))
    assert len(names) == 7
    for name in names:
        image = Image.open(IMAGES / f"{name}.jpg").convert("RGB")
        plan = preprocessing.plan(image.size, 32, None, "crop")
        pixels = preprocessing.pixels([image], [plan])[0].numpy()
        assert np.abs(pixels - np.load(IMAGES / f"pixels_{name}.npy")).max() == 0.0, name


def test_boxes_are_where_the_published_crop_was(clip_folder):
    encoder = load_encoder(clip_folder, device="cpu")
    image = Image.open(IMAGES / "321_421.jpg").convert("RGB")  # 321 x 421
    [box] = encoder.encode([image]).boxes.tolist()
    assert image.size == (321, 421)
    assert box == pytest.approx([0.0, 34 * 421 / 293, 321.0, 258 * 421 / 293], abs=1e-3)
