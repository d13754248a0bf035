"""Tiny random models in the real file formats, so that tests go through the real loading code without a network.

Each function writes a model into the folder and returns the folder.
"""

import json
from pathlib import Path

import torch
from PIL import Image

WORDS = [
    "a",
    "photo",
    "of",
    "the",
    "red",
    "blue",
    "green",
    "cat",
    "dog",
    "bird",
    "tree",
    "house",
    "on",
    "and",
    ",",
    ".",
]


def images(*sizes, seed=0):
    """Random smooth images of the sizes (width, height) given."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for width, height in sizes:
        noise = torch.randint(0, 256, (6, 6, 3), generator=generator, dtype=torch.uint8).numpy()
        made.append(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
    return made


def tiny_dinov2(folder, seed=0):
    from transformers import Dinov2Config, Dinov2Model

    return _vision(
        folder, Dinov2Model, Dinov2Config(**_SMALL, patch_size=14, image_size=56), seed, "BitImageProcessorPil", 64, 56
    )


def tiny_dinov2_with_registers(folder, seed=0):
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    config = Dinov2WithRegistersConfig(**_SMALL, patch_size=14, image_size=56, num_register_tokens=4)
    return _vision(folder, Dinov2WithRegistersModel, config, seed, "BitImageProcessorPil", 64, 56)


def tiny_dinov3(folder, seed=0):
    from transformers import DINOv3ViTConfig, DINOv3ViTImageProcessor, DINOv3ViTModel

    config = DINOv3ViTConfig(**_SMALL, intermediate_size=64, patch_size=16, image_size=64, num_register_tokens=4)
    torch.manual_seed(seed)
    DINOv3ViTModel(config).save_pretrained(folder)
    DINOv3ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return Path(folder)


def tiny_dinov3_convnext(folder, seed=0):
    from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel, DINOv3ViTImageProcessor

    torch.manual_seed(seed)
    # a layer scale of 1, since at the published 1e-6 random blocks change nothing
    config = DINOv3ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1], layer_scale_init_value=1.0)
    DINOv3ConvNextModel(config).save_pretrained(folder)
    DINOv3ViTImageProcessor(size={"height": 96, "width": 96}).save_pretrained(folder)
    return Path(folder)


def tiny_ijepa(folder, seed=0):
    from transformers import IJepaConfig, IJepaModel, ViTImageProcessorPil

    torch.manual_seed(seed)
    IJepaModel(IJepaConfig(**_SMALL, intermediate_size=64, patch_size=14, image_size=56)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 56, "width": 56}).save_pretrained(folder)
    return Path(folder)


def tiny_pixio(folder, seed=0):
    from transformers import BitImageProcessorPil, PixioConfig, PixioModel

    torch.manual_seed(seed)
    PixioModel(PixioConfig(**_SMALL, patch_size=16, image_size=64)).save_pretrained(folder)
    BitImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False).save_pretrained(folder)
    return Path(folder)


def tiny_dino(folder, seed=0):
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    config = ViTConfig(**_SMALL, intermediate_size=64, patch_size=8, image_size=32)
    torch.manual_seed(seed)
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return Path(folder)


def tiny_clip(folder, seed=0, eos_token_id=None):
    from transformers import CLIPConfig, CLIPModel

    return _clip_like(folder, CLIPConfig, CLIPModel, seed, eos_token_id)


def tiny_captioner(folder, seed=0):
    """A BLIP that writes captions of the words below."""
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessorPil, BlipProcessor

    tokenizer = _words_tokenizer()
    torch.manual_seed(seed)
    text = {
        **_TEXT,
        "vocab_size": len(tokenizer),
        "encoder_hidden_size": 32,
        "max_position_embeddings": 64,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "sep_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**_SMALL, "intermediate_size": 64, "patch_size": 8, "image_size": 32}
    BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    BlipProcessor(BlipImageProcessorPil(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return Path(folder)


def tiny_paligemma(folder, seed=0, side=32):
    """A PaliGemma 2 of the words below with all location and segmentation tokens; an image has 16 tokens."""
    from transformers import (
        Gemma2Config,
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        PaliGemmaProcessor,
        SiglipVisionConfig,
    )
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    images = SiglipImageProcessorPil(size={"height": side, "width": side})
    images.image_seq_length = (side // 8) ** 2
    processor = PaliGemmaProcessor(images, _prompt_tokenizer())
    tokenizer = processor.tokenizer
    text = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=24,
        query_pre_attn_scalar=24,
        attn_logit_softcapping=None,
        sliding_window=64,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    vision = SiglipVisionConfig(
        **_SMALL, intermediate_size=64, patch_size=8, image_size=side, vision_use_head=False, projection_dim=48
    )
    config = PaliGemmaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=processor.image_token_id,
        projection_dim=48,
        hidden_size=48,
        vocab_size=len(tokenizer),
    )
    torch.manual_seed(seed)
    PaliGemmaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)


def _prompt_tokenizer():
    """A word-level tokenizer of PaliGemma's prompts, lower-cased, with a token for the line break that ends them."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<bos>", "<eos>", "<unk>", *WORDS, ";", "?", "caption", "answer", "detect", "segment", "en", "de"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    fast.add_tokens([AddedToken("\n", normalized=False)])
    return fast


def tiny_metaclip2(folder, seed=0):
    from transformers import MetaClip2Config, MetaClip2Model

    return _clip_like(folder, MetaClip2Config, MetaClip2Model, seed, None)


def tiny_siglip(folder, seed=0):
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    tokenizer = _words_tokenizer()
    torch.manual_seed(seed)
    text = {**_TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64, "projection_size": 32}
    vision = {**_SMALL, "intermediate_size": 64, "patch_size": 16, "image_size": 64}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def tiny_tips(folder, seed=0):
    from transformers import Tipsv2Config, Tipsv2ImageProcessor, Tipsv2Model

    tokenizer = _words_tokenizer()
    torch.manual_seed(seed)
    text = {**_TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    vision = {**_SMALL, "patch_size": 14, "image_size": 56, "num_register_tokens": 1, "layerscale_value": 0.5}
    Tipsv2Model(Tipsv2Config(text_config=text, vision_config=vision)).save_pretrained(folder)
    Tipsv2ImageProcessor(size={"height": 56, "width": 56}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_TEXT = {**_SMALL, "intermediate_size": 64}


def _vision(folder, model_class, config, seed, processor, short_side, size):
    import transformers

    torch.manual_seed(seed)
    model_class(config).save_pretrained(folder)
    crop = {"height": size, "width": size}
    getattr(transformers, processor)(
        size={"shortest_edge": short_side}, crop_size=crop, resample=3, do_center_crop=True
    ).save_pretrained(folder)
    return Path(folder)


def _clip_like(folder, config_class, model_class, seed, eos_token_id):
    from transformers import CLIPImageProcessorPil

    tokenizer = _words_tokenizer()
    torch.manual_seed(seed)
    text = {
        **_TEXT,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 16,
        "projection_dim": 24,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id if eos_token_id is None else eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**_SMALL, "intermediate_size": 64, "patch_size": 8, "image_size": 32, "projection_dim": 24}
    model_class(config_class(text_config=text, vision_config=vision, projection_dim=24)).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def _words_tokenizer():
    """A word-level fast tokenizer that frames each text as CLIP's does; the end token is not the largest id."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["<pad>", "<unk>", "<mask>", "<start>", "<end>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", vocabulary["<start>"]), ("<end>", vocabulary["<end>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<start>", eos_token="<end>"
    )


def tiny_openclip(folder, seed=0):
    """open_clip's own ViT with open_clip's own tokenizer."""
    vision = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
    return _open_clip(folder, seed, vision, custom_text=False)


def tiny_openclip_timm(folder, seed=0):
    """A timm ViT whose vector is a projection of CLS, as MobileCLIP2-L-14's is."""
    return _open_clip(folder, seed, _timm("vit_tiny_patch16_224", "token", 224))


def tiny_openclip_map(folder, seed=0):
    """A timm ViT with rotary positions and attention pooling: the smallest PE-Core."""
    return _open_clip(folder, seed, _timm("vit_pe_core_tiny_patch16_384", "map", 384))


def tiny_openclip_convolutional(folder, seed=0):
    """The smallest MobileCLIP image tower, convolutional."""
    return _open_clip(folder, seed, _timm("fastvit_mci0", "avg", 256), interpolation="bilinear")


def _timm(name, pool, size):
    return {"image_size": size, "timm_model_name": name, "timm_pool": pool, "timm_proj": None}


def _open_clip(folder, seed, vision, custom_text=True, interpolation="bicubic"):
    from open_clip.model import CLIP, CustomTextCLIP
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    model = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    torch.manual_seed(seed)
    made = (CustomTextCLIP if custom_text else CLIP)(**model)
    save_file(
        {key: value.contiguous() for key, value in made.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    preprocess = {"mean": [0.48, 0.45, 0.4], "std": [0.26, 0.26, 0.27], "interpolation": interpolation}
    settings = {
        "model_cfg": {**model, "custom_text": custom_text},
        "preprocess_cfg": {**preprocess, "resize_mode": "shortest"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    return folder


def real_clip_tokenizer():
    """CLIP's own tokenizer, built from the list of merges inside open_clip."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    simple = SimpleTokenizer()
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {renamed.get(token, token): index for token, index in simple.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(simple.bpe_ranks))
