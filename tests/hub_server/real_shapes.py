"""Models with random weights in the true shapes, under their true names on the hub."""

from __future__ import annotations

from pathlib import Path

DINOV2_SMALL = "facebook/dinov2-small"
CLIP_B16 = "openai/clip-vit-base-patch16"


def real_shaped(folder: str | Path, seed: int = 0) -> Path:
    """Write DINOv2-small (22 M parameters) and CLIP ViT-B/16 (150 M), 690 MB in float32; existing ones are kept.

    Args:
        folder: the test hub's folder.
        seed: of the random weights.
    """
    folder = Path(folder)
    for name, write in ((DINOV2_SMALL, dinov2_small), (CLIP_B16, clip_b16)):
        if not (folder / name / "model.safetensors").is_file():
            write(folder / name, seed)
    return folder


def dinov2_small(folder: Path, seed: int = 0) -> None:
    """Write facebook/dinov2-small with random weights."""
    import torch
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    torch.manual_seed(seed)
    config = Dinov2Config(hidden_size=384, num_attention_heads=6, num_hidden_layers=12, patch_size=14, image_size=518)
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessorPil(
        size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}, resample=3, do_center_crop=True,
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)  # fmt: skip


def clip_b16(folder: Path, seed: int = 0) -> None:
    """Write openai/clip-vit-base-patch16 with random weights and CLIP's own tokenizer."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from tests.tiny_models import real_clip_tokenizer

    torch.manual_seed(seed)
    tokenizer = real_clip_tokenizer()
    text = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    CLIPModel(CLIPConfig(text_config=text, vision_config={"patch_size": 16}, projection_dim=512)).save_pretrained(
        folder
    )
    CLIPImageProcessorPil(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
