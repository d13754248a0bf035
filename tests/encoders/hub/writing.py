"""Tiny models with random weights in the layouts of further libraries; each function writes one into a folder."""

from __future__ import annotations

import json
from pathlib import Path

from tests import tiny_models


def tiny_projector(folder: Path) -> None:
    """A linear projector from the tiny DINOv2 to the tiny CLIP."""
    import torch

    from dinoclip_viz.projector import Projector

    torch.manual_seed(0)
    Projector(
        image_encoder="dinov2-small", text_encoder="clip-vit-base-patch16", image_space="facebook/dinov2-small",
        text_space="openai/clip-vit-base-patch16", width=32, outputs=24, hidden=16, blocks=1,
    ).save_pretrained(folder)  # fmt: skip


def tiny_openclip_siglip(folder: Path) -> None:
    """A tiny CLIP of open_clip whose texts are read by a tokenizer of transformers in the same repository."""
    tiny_models.tiny_openclip(folder)
    path = folder / "open_clip_config.json"
    settings = json.loads(path.read_text())
    settings["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "timm/ViT-B-16-SigLIP"
    settings["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"clean": "canonicalize"}
    path.write_text(json.dumps(settings))
    tiny_models._words_tokenizer().save_pretrained(folder)


def tiny_timm(folder: Path) -> None:
    """A ViT in timm's hub format."""
    import timm
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    sizes = {"embed_dim": 32, "depth": 2, "num_heads": 2}
    torch.manual_seed(0)
    model = timm.create_model("vit_base_patch16_224", num_classes=0, **sizes)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    settings = {"architecture": "vit_base_patch16_224", "num_classes": 0, "model_args": sizes}
    (folder / "config.json").write_text(json.dumps({**settings, "pretrained_cfg": {"tag": "mae", "num_classes": 0}}))


def tiny_sentences(folder: Path) -> None:
    """A BERT with mean pooling."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *tiny_models.WORDS]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=24,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    BertTokenizer(vocab={token: index for index, token in enumerate(tokens)}).save_pretrained(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    listed = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
              for i, (path, kind) in enumerate(modules)]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16, "do_lower_case": False}))


def tiny_depth(folder: Path) -> None:
    """A Depth Anything."""
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, patch_size=14, image_size=56,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False,
    )  # fmt: skip
    torch.manual_seed(0)
    config = DepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=16, head_hidden_size=8,
        neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=16, reassemble_factors=[4, 2, 1, 0.5],
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    size = {"height": 56, "width": 56}
    DPTImageProcessor(size=size, keep_aspect_ratio=True, ensure_multiple_of=14).save_pretrained(folder)
