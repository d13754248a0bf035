"""Catalogue of the models that are known by name, one row per model; importing it loads no model and no library."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dinoclip_viz.encoders.errors import EncoderError

PLAYGROUND = Path(__file__).resolve().parent.parent / "playground" / "models"
"""Folder of the embedded models."""

OPEN_CLIP = "open_clip"
"""First part of the names open_clip/MODEL/PRETRAINED, which select any of open_clip's weights."""

TIMM_PREFIX = "timm:"
"""Prefix of the names timm:MODEL, which select any model of timm, by its own name, a hub id or a folder."""

Kind = Literal["image", "image-text", "text", "vision-language"]
"""What a model encodes or answers: see `CatalogEntry.kind`."""

VISION_LANGUAGE: Kind = "vision-language"

_MIT, _APACHE, _NON_COMMERCIAL = "MIT", "Apache-2.0", "CC-BY-NC-4.0"
_DINOV3, _APPLE = "DINOv3 License", "Apple ML research license"
_FAIR, _NVIDIA = "FAIR Noncommercial Research License", "NVIDIA Open Model License"
_GEMMA = "Gemma Terms of Use"


@dataclass(frozen=True)
class CatalogEntry:
    """One published model.

    Attributes:
        name: name by which users select the model.
        library: library that loads it.
        weights: hub id, or folder of an embedded model; for open_clip the pair (model, pretrained).
        kind: "image" encodes images only; "image-text" encodes images and texts into one space; "text" texts only;
            "vision-language" answers about images with text (`load_vlm`).
        family: family of models that it was published with.
        licence: licence of the weights.
        dimension: D of the pooled vector; for "vision-language" of the language model's tokens.
        patch: side of a patch in pixels; for a convolutional network, the stride of its last feature map; 0 for texts.
        size: side of the published square input in pixels; 0 for texts.
        parameters: number of parameters in millions, of all towers, rounded.
        gated: whether the licence must be accepted on the hub before downloading.
        revision: commit on the hub; None until `dinoclip models --pin` has read it there.
        note: remark for users.
    """

    name: str
    library: Literal["transformers", "open_clip", "timm"]
    weights: str | tuple[str, str]
    kind: Kind
    family: str
    licence: str
    dimension: int
    patch: int
    size: int
    parameters: float
    gated: bool = False
    revision: str | None = None
    note: str = ""

    @property
    def source(self) -> str:
        """The weights as one string, which is the name of the space of their vectors."""
        if self.family == "playground":
            return self.name
        if self.library == "timm" and isinstance(self.weights, str):
            return TIMM_PREFIX + self.weights.removeprefix("timm/")
        return self.weights if isinstance(self.weights, str) else "/".join((OPEN_CLIP, *self.weights))

    @property
    def folder(self) -> Path | None:
        """Folder of an embedded model; None for a model on the hub."""
        return Path(self.weights) if self.family == "playground" and isinstance(self.weights, str) else None


# name (and hub id within its owner), dimension, patch, size, millions of parameters
_DINOV2 = (("small", 384, 22), ("base", 768, 87), ("large", 1024, 304), ("giant", 1536, 1137))
_DINOV3_VITS = (
    ("vits16", "lvd1689m", 384, 22),
    ("vits16plus", "lvd1689m", 384, 29),
    ("vitb16", "lvd1689m", 768, 86),
    ("vitl16", "lvd1689m", 1024, 303),
    ("vith16plus", "lvd1689m", 1280, 841),
    ("vit7b16", "lvd1689m", 4096, 6716),
)
_DINOV3_SATELLITES = (("vitl16", "sat493m", 1024, 303), ("vit7b16", "sat493m", 4096, 6716))
_DINOV3_CONVNEXTS = (("tiny", 768, 28), ("small", 768, 49), ("base", 1024, 88), ("large", 1536, 196))
_DINO = (("vits8", 384, 8, 22), ("vits16", 384, 16, 22), ("vitb8", 768, 8, 86), ("vitb16", 768, 16, 86))
_IJEPA = (
    ("ijepa-vith14", "ijepa_vith14_1k", 1280, 14, 224, 631),
    ("ijepa-vith14-22k", "ijepa_vith14_22k", 1280, 14, 224, 631),
    ("ijepa-vith16-448", "ijepa_vith16_1k", 1280, 16, 448, 632),
    ("ijepa-vitg16-22k", "ijepa_vitg16_22k", 1408, 16, 224, 1011),
)
_PIXIO = (
    ("vitb16", 768, 86),
    ("vitl16", 1024, 303),
    ("vith16", 1280, 631),
    ("vit1b16", 1536, 1362),
    ("vit5b16", 3072, 5441),
)
_CLIP = (
    ("clip-vit-base-patch32", 512, 32, 224, 151),
    ("clip-vit-base-patch16", 512, 16, 224, 150),
    ("clip-vit-large-patch14", 768, 14, 224, 428),
    ("clip-vit-large-patch14-336", 768, 14, 336, 428),
)
_METACLIP2 = (
    ("metaclip-2-worldwide-s16", 384, 16, 224, 400),
    ("metaclip-2-worldwide-m16", 512, 16, 224, 500),
    ("metaclip-2-worldwide-b32", 512, 32, 224, 600),
    ("metaclip-2-worldwide-b16", 512, 16, 224, 600),
    ("metaclip-2-worldwide-l14", 768, 14, 224, 1000),
    ("metaclip-2-worldwide-huge-quickgelu", 1024, 14, 224, 1860),
    ("metaclip-2-worldwide-huge-378", 1024, 14, 378, 1860),
    ("metaclip-2-worldwide-giant", 1280, 14, 224, 3600),
    ("metaclip-2-worldwide-giant-378", 1280, 14, 378, 3600),
)
_SIGLIP = (
    ("siglip-base-patch16-224", 768, 16, 224, 203),
    ("siglip-base-patch16-256", 768, 16, 256, 203),
    ("siglip-base-patch16-256-multilingual", 768, 16, 256, 371),
    ("siglip-base-patch16-384", 768, 16, 384, 203),
    ("siglip-base-patch16-512", 768, 16, 512, 204),
    ("siglip-large-patch16-256", 1024, 16, 256, 652),
    ("siglip-large-patch16-384", 1024, 16, 384, 652),
    ("siglip-so400m-patch14-224", 1152, 14, 224, 877),
    ("siglip-so400m-patch14-384", 1152, 14, 384, 878),
    ("siglip-so400m-patch16-256-i18n", 1152, 16, 256, 1129),
)
_SIGLIP2 = (
    ("siglip2-base-patch32-256", 768, 32, 256, 377),
    ("siglip2-base-patch16-224", 768, 16, 224, 375),
    ("siglip2-base-patch16-256", 768, 16, 256, 375),
    ("siglip2-base-patch16-384", 768, 16, 384, 376),
    ("siglip2-base-patch16-512", 768, 16, 512, 376),
    ("siglip2-large-patch16-256", 1024, 16, 256, 882),
    ("siglip2-large-patch16-384", 1024, 16, 384, 882),
    ("siglip2-large-patch16-512", 1024, 16, 512, 883),
    ("siglip2-so400m-patch14-224", 1152, 14, 224, 1135),
    ("siglip2-so400m-patch14-384", 1152, 14, 384, 1136),
    ("siglip2-so400m-patch16-256", 1152, 16, 256, 1135),
    ("siglip2-so400m-patch16-384", 1152, 16, 384, 1136),
    ("siglip2-so400m-patch16-512", 1152, 16, 512, 1136),
    ("siglip2-giant-opt-patch16-256", 1536, 16, 256, 1871),
    ("siglip2-giant-opt-patch16-384", 1536, 16, 384, 1872),
)
_TIPS = (
    ("tipsv2-b14", 768, 14, 448, 196),
    ("tipsv2-l14", 1024, 14, 448, 488),
    ("tipsv2-so400m14", 1152, 14, 448, 861),
    ("tipsv2-g14", 1536, 14, 448, 1489),
)

# beginning of the name, family, dimension, millions of parameters at 224 px
_PALIGEMMA = (
    ("paligemma-3b", "PaliGemma", 2048, 2923.3),
    ("paligemma2-3b", "PaliGemma 2", 2304, 3032.1),
    ("paligemma2-10b", "PaliGemma 2", 3584, 9662.4),
    ("paligemma2-28b", "PaliGemma 2", 4608, 27650.2),
)
_PALIGEMMA_STAGES = {
    "pt": ((224, 448, 896), "pre-trained: needs fine-tuning before it answers; the mix checkpoints answer at once"),
    "mix": ((224, 448), "fine-tuned on a mixture of tasks: answers at once"),
    "ft-docci": ((448,), "fine-tuned on DOCCI: long captions"),
}
"""Stage of training -> published input sizes and note."""
_PALIGEMMA_DOCCI = ("paligemma2-3b", "paligemma2-10b")

# name, open_clip's model and pretrained, family, licence, dimension, patch, size, millions of parameters
_OPEN_CLIP: tuple[tuple[str, str, str, str, str, int, int, int, int], ...] = (
    ("openai-vit-b-32", "ViT-B-32-quickgelu", "openai", "CLIP", _MIT, 512, 32, 224, 151),
    ("openai-vit-b-16", "ViT-B-16-quickgelu", "openai", "CLIP", _MIT, 512, 16, 224, 150),
    ("openai-vit-l-14", "ViT-L-14-quickgelu", "openai", "CLIP", _MIT, 768, 14, 224, 428),
    ("openai-vit-l-14-336", "ViT-L-14-336-quickgelu", "openai", "CLIP", _MIT, 768, 14, 336, 428),
    ("laion2b-vit-b-32", "ViT-B-32", "laion2b_s34b_b79k", "OpenCLIP", _MIT, 512, 32, 224, 151),
    ("laion2b-vit-b-16", "ViT-B-16", "laion2b_s34b_b88k", "OpenCLIP", _MIT, 512, 16, 224, 150),
    ("laion2b-vit-l-14", "ViT-L-14", "laion2b_s32b_b82k", "OpenCLIP", _MIT, 768, 14, 224, 428),
    ("laion2b-vit-h-14", "ViT-H-14", "laion2b_s32b_b79k", "OpenCLIP", _MIT, 1024, 14, 224, 986),
    ("laion2b-vit-g-14", "ViT-g-14", "laion2b_s34b_b88k", "OpenCLIP", _MIT, 1024, 14, 224, 1367),
    ("laion2b-vit-bigg-14", "ViT-bigG-14", "laion2b_s39b_b160k", "OpenCLIP", _MIT, 1280, 14, 224, 2540),
    ("datacomp-vit-b-32", "ViT-B-32", "datacomp_xl_s13b_b90k", "DataComp", _MIT, 512, 32, 224, 151),
    ("datacomp-vit-b-32-256", "ViT-B-32-256", "datacomp_s34b_b86k", "DataComp", _MIT, 512, 32, 256, 151),
    ("datacomp-vit-b-16", "ViT-B-16", "datacomp_xl_s13b_b90k", "DataComp", _MIT, 512, 16, 224, 150),
    ("datacomp-vit-l-14", "ViT-L-14", "datacomp_xl_s13b_b90k", "DataComp", _MIT, 768, 14, 224, 428),
    ("dfn2b-vit-b-16", "ViT-B-16-quickgelu", "dfn2b", "DFN", _APPLE, 512, 16, 224, 150),
    ("dfn2b-vit-l-14", "ViT-L-14-quickgelu", "dfn2b", "DFN", _APPLE, 768, 14, 224, 428),
    ("dfn2b-39b-vit-l-14", "ViT-L-14", "dfn2b_s39b", "DFN", _APPLE, 768, 14, 224, 428),
    ("dfn5b-vit-h-14", "ViT-H-14-quickgelu", "dfn5b", "DFN", _APPLE, 1024, 14, 224, 986),
    ("dfn5b-vit-h-14-378", "ViT-H-14-378-quickgelu", "dfn5b", "DFN", _APPLE, 1024, 14, 378, 987),
    ("metaclip-400m-vit-b-32", "ViT-B-32-quickgelu", "metaclip_400m", "MetaCLIP", _NON_COMMERCIAL, 512, 32, 224, 151),
    ("metaclip-400m-vit-b-16", "ViT-B-16-quickgelu", "metaclip_400m", "MetaCLIP", _NON_COMMERCIAL, 512, 16, 224, 150),
    ("metaclip-400m-vit-l-14", "ViT-L-14-quickgelu", "metaclip_400m", "MetaCLIP", _NON_COMMERCIAL, 768, 14, 224, 428),
    ("metaclip-vit-b-32", "ViT-B-32-quickgelu", "metaclip_fullcc", "MetaCLIP", _NON_COMMERCIAL, 512, 32, 224, 151),
    ("metaclip-vit-b-16", "ViT-B-16-quickgelu", "metaclip_fullcc", "MetaCLIP", _NON_COMMERCIAL, 512, 16, 224, 150),
    ("metaclip-vit-l-14", "ViT-L-14-quickgelu", "metaclip_fullcc", "MetaCLIP", _NON_COMMERCIAL, 768, 14, 224, 428),
    ("metaclip-vit-h-14", "ViT-H-14-quickgelu", "metaclip_fullcc", "MetaCLIP", _NON_COMMERCIAL, 1024, 14, 224, 986),
    (
        "metaclip-vit-bigg-14",
        "ViT-bigG-14-quickgelu",
        "metaclip_fullcc",
        "MetaCLIP",
        _NON_COMMERCIAL,
        1280,
        14,
        224,
        2540,
    ),
    ("mobileclip-s1", "MobileCLIP-S1", "datacompdr", "MobileCLIP", _APPLE, 512, 32, 256, 85),
    ("mobileclip-s2", "MobileCLIP-S2", "datacompdr", "MobileCLIP", _APPLE, 512, 32, 256, 99),
    ("mobileclip-b", "MobileCLIP-B", "datacompdr", "MobileCLIP", _APPLE, 512, 16, 224, 150),
    ("mobileclip-b-lt", "MobileCLIP-B", "datacompdr_lt", "MobileCLIP", _APPLE, 512, 16, 224, 150),
    ("mobileclip2-s0", "MobileCLIP2-S0", "dfndr2b", "MobileCLIP 2", _APPLE, 512, 32, 256, 75),
    ("mobileclip2-s2", "MobileCLIP2-S2", "dfndr2b", "MobileCLIP 2", _APPLE, 512, 32, 256, 99),
    ("mobileclip2-s3", "MobileCLIP2-S3", "dfndr2b", "MobileCLIP 2", _APPLE, 768, 64, 256, 249),
    ("mobileclip2-s4", "MobileCLIP2-S4", "dfndr2b", "MobileCLIP 2", _APPLE, 768, 64, 256, 445),
    ("mobileclip2-b", "MobileCLIP2-B", "dfndr2b", "MobileCLIP 2", _APPLE, 512, 16, 224, 150),
    ("mobileclip2-l-14", "MobileCLIP2-L-14", "dfndr2b", "MobileCLIP 2", _APPLE, 768, 14, 224, 428),
    ("openclip-siglip-b-16", "ViT-B-16-SigLIP", "webli", "SigLIP", _APACHE, 768, 16, 224, 203),
    ("openclip-siglip2-b-32-256", "ViT-B-32-SigLIP2-256", "webli", "SigLIP 2", _APACHE, 768, 32, 256, 377),
    ("pe-core-t-16-384", "PE-Core-T-16-384", "meta", "Perception Encoder", _APACHE, 512, 16, 384, 70),
    ("pe-core-s-16-384", "PE-Core-S-16-384", "meta", "Perception Encoder", _APACHE, 512, 16, 384, 87),
    ("pe-core-b-16", "PE-Core-B-16", "meta", "Perception Encoder", _APACHE, 1024, 16, 224, 448),
    ("pe-core-l-14-336", "PE-Core-L-14-336", "meta", "Perception Encoder", _APACHE, 1024, 14, 336, 671),
    ("pe-core-bigg-14-448", "PE-Core-bigG-14-448", "meta", "Perception Encoder", _APACHE, 1280, 14, 448, 2419),
)

# name, timm's name, family, licence, dimension, patch, size, millions of parameters
_TIMM: tuple[tuple[str, str, str, str, int, int, int, float], ...] = (
    ("mae-vitb16", "vit_base_patch16_224.mae", "MAE", _NON_COMMERCIAL, 768, 16, 224, 86),
    ("mae-vitl16", "vit_large_patch16_224.mae", "MAE", _NON_COMMERCIAL, 1024, 16, 224, 303),
    ("mae-vith14", "vit_huge_patch14_224.mae", "MAE", _NON_COMMERCIAL, 1280, 14, 224, 631),
    ("deit3-small", "deit3_small_patch16_224.fb_in22k_ft_in1k", "DeiT III", _APACHE, 384, 16, 224, 22),
    ("deit3-medium", "deit3_medium_patch16_224.fb_in22k_ft_in1k", "DeiT III", _APACHE, 512, 16, 224, 38),
    ("deit3-base", "deit3_base_patch16_224.fb_in22k_ft_in1k", "DeiT III", _APACHE, 768, 16, 224, 86),
    ("deit3-large", "deit3_large_patch16_224.fb_in22k_ft_in1k", "DeiT III", _APACHE, 1024, 16, 224, 303),
    ("deit3-huge", "deit3_huge_patch14_224.fb_in22k_ft_in1k", "DeiT III", _APACHE, 1280, 14, 224, 631),
    ("eva02-tiny", "eva02_tiny_patch14_224.mim_in22k", "EVA-02", _MIT, 192, 14, 224, 5.5),
    ("eva02-small", "eva02_small_patch14_224.mim_in22k", "EVA-02", _MIT, 384, 14, 224, 22),
    ("eva02-base", "eva02_base_patch14_224.mim_in22k", "EVA-02", _MIT, 768, 14, 224, 86),
    ("eva02-large", "eva02_large_patch14_224.mim_in22k", "EVA-02", _MIT, 1024, 14, 224, 303),
    ("eva02-large-m38m", "eva02_large_patch14_224.mim_m38m", "EVA-02", _MIT, 1024, 14, 224, 303),
    ("aimv2-large-224", "aimv2_large_patch14_224.apple_pt", "AIMv2", _APPLE, 1024, 14, 224, 309),
    ("aimv2-large-336", "aimv2_large_patch14_336.apple_pt", "AIMv2", _APPLE, 1024, 14, 336, 310),
    ("aimv2-large-448", "aimv2_large_patch14_448.apple_pt", "AIMv2", _APPLE, 1024, 14, 448, 310),
    ("aimv2-large-224-distilled", "aimv2_large_patch14_224.apple_pt_dist", "AIMv2", _APPLE, 1024, 14, 224, 309),
    ("aimv2-large-336-distilled", "aimv2_large_patch14_336.apple_pt_dist", "AIMv2", _APPLE, 1024, 14, 336, 310),
    ("aimv2-huge-224", "aimv2_huge_patch14_224.apple_pt", "AIMv2", _APPLE, 1536, 14, 224, 681),
    ("aimv2-huge-336", "aimv2_huge_patch14_336.apple_pt", "AIMv2", _APPLE, 1536, 14, 336, 681),
    ("aimv2-huge-448", "aimv2_huge_patch14_448.apple_pt", "AIMv2", _APPLE, 1536, 14, 448, 682),
    ("aimv2-1b-224", "aimv2_1b_patch14_224.apple_pt", "AIMv2", _APPLE, 2048, 14, 224, 1235),
    ("aimv2-3b-224", "aimv2_3b_patch14_224.apple_pt", "AIMv2", _APPLE, 3072, 14, 224, 2721),
    ("pe-spatial-t-16-512", "vit_pe_spatial_tiny_patch16_512.fb", "Perception Encoder", _APACHE, 192, 16, 512, 5.7),
    ("pe-spatial-s-16-512", "vit_pe_spatial_small_patch16_512.fb", "Perception Encoder", _APACHE, 384, 16, 512, 22),
    ("pe-spatial-b-16-512", "vit_pe_spatial_base_patch16_512.fb", "Perception Encoder", _APACHE, 768, 16, 512, 86),
    ("pe-spatial-l-14-448", "vit_pe_spatial_large_patch14_448.fb", "Perception Encoder", _APACHE, 1024, 14, 448, 304),
    (
        "pe-spatial-bigg-14-448",
        "vit_pe_spatial_gigantic_patch14_448.fb",
        "Perception Encoder",
        _APACHE,
        1536,
        14,
        448,
        1852,
    ),
    ("pe-lang-l-14-448", "vit_pe_lang_large_patch14_448.fb", "Perception Encoder", _APACHE, 1024, 14, 448, 291),
    ("pe-lang-bigg-14-448", "vit_pe_lang_gigantic_patch14_448.fb", "Perception Encoder", _APACHE, 1536, 14, 448, 1741),
    ("c-radiov3-b", "vit_base_patch16_radio_v3.c_radio", "C-RADIO", _NVIDIA, 768, 16, 512, 86),
    ("c-radiov3-l", "vit_large_patch16_radio_v3.c_radio", "C-RADIO", _NVIDIA, 1024, 16, 512, 304),
    ("c-radiov3-h", "vit_huge_patch16_radio_v3.c_radio", "C-RADIO", _NVIDIA, 1280, 16, 512, 632),
    ("c-radiov3-g", "vit_giant_patch16_radio_v3.c_radio", "C-RADIO", _NVIDIA, 1536, 16, 512, 1136),
    ("c-radiov4-so400m", "vit_so400m_patch16_radio_v4.c_radio", "C-RADIO", _NVIDIA, 1152, 16, 512, 414),
    ("c-radiov4-h", "vit_huge_patch16_radio_v4.c_radio", "C-RADIO", _NVIDIA, 1280, 16, 512, 632),
    ("eupe-vitt16", "vit_tiny_patch16_dinov3_qkvb.eupe_lvd1689m", "EUPE", _FAIR, 192, 16, 256, 5.5),
    ("eupe-vits16", "vit_small_patch16_dinov3_qkvb.eupe_lvd1689m", "EUPE", _FAIR, 384, 16, 256, 22),
    ("eupe-vitb16", "vit_base_patch16_dinov3_qkvb.eupe_lvd1689m", "EUPE", _FAIR, 768, 16, 256, 86),
    ("eupe-convnext-tiny", "convnext_tiny.eupe_lvd1689m", "EUPE", _FAIR, 768, 32, 256, 28),
    ("eupe-convnext-small", "convnext_small.eupe_lvd1689m", "EUPE", _FAIR, 768, 32, 256, 49),
    ("eupe-convnext-base", "convnext_base.eupe_lvd1689m", "EUPE", _FAIR, 1024, 32, 256, 88),
)
_TIMM_NOTES = {
    "AIMv2": "timm's copy names the Apple Sample Code License",
    "C-RADIO": "patch positions are as published at 512 px, interpolated at other sizes",
}
"""Family -> note on its models of timm."""


def _rows() -> list[CatalogEntry]:
    return [*_playground(), *_dinos(), *_vision(), *_image_text(), *_open_clips(), *_timms(), *_paligemmas()]


def _playground() -> list[CatalogEntry]:
    note = "embedded, works offline; trained on the playground's synthetic scenes only"
    rows: tuple[tuple[str, Kind, int, int, int, float], ...] = (
        ("playground-dino", "image", 128, 8, 96, 1.2),
        ("playground-clip", "image-text", 128, 8, 96, 1.9),
        ("playground-siglip", "image-text", 128, 8, 96, 2.0),
        ("playground-text", "text", 128, 0, 0, 0.7),
        ("playground-paligemma", VISION_LANGUAGE, 192, 8, 96, 3.1),
    )
    return [
        CatalogEntry(
            name, "transformers", str(PLAYGROUND / name), kind, "playground", _APACHE, dimension, patch, size, millions,
            note=note,
        )
        for name, kind, dimension, patch, size, millions in rows
    ]  # fmt: skip


def _dinos() -> list[CatalogEntry]:
    rows = []
    for infix, suffix, note in (("", "", ""), ("with-registers-", "-registers", "4 registers, smoother patches")):
        for name, dimension, millions in _DINOV2:
            hub, known = f"facebook/dinov2-{infix}{name}", f"dinov2-{name}{suffix}"
            rows.append(
                CatalogEntry(
                    known, "transformers", hub, "image", "DINOv2", _APACHE, dimension, 14, 224, millions, note=note
                )
            )
    for name, data, dimension, millions in (*_DINOV3_VITS, *_DINOV3_SATELLITES):
        satellite = data.startswith("sat")
        known, note = f"dinov3-{name}" + "-sat" * satellite, "trained on satellite images" * satellite
        hub = f"facebook/dinov3-{name}-pretrain-{data}"
        rows.append(_dinov3(known, hub, dimension, 16, millions, note))
    for name, dimension, millions in _DINOV3_CONVNEXTS:
        hub = f"facebook/dinov3-convnext-{name}-pretrain-lvd1689m"
        rows.append(_dinov3(f"dinov3-convnext-{name}", hub, dimension, 32, millions, "convolutional, no attention"))
    for name, dimension, patch, millions in _DINO:
        hub = f"facebook/dino-{name}"
        rows.append(
            CatalogEntry(f"dino-{name}", "transformers", hub, "image", "DINO", _APACHE, dimension, patch, 224, millions)
        )
    return rows


def _dinov3(name: str, hub: str, dimension: int, patch: int, millions: float, note: str) -> CatalogEntry:
    return CatalogEntry(
        name, "transformers", hub, "image", "DINOv3", _DINOV3, dimension, patch, 224, millions, gated=True, note=note
    )


def _vision() -> list[CatalogEntry]:
    means, classes = "no class token: pooled is the mean of the patches", "8 class tokens: pooled is their mean"
    rows = [
        CatalogEntry(
            name,
            "transformers",
            f"facebook/{hub}",
            "image",
            "I-JEPA",
            _NON_COMMERCIAL,
            dimension,
            patch,
            size,
            millions,
            note=means,
        )
        for name, hub, dimension, patch, size, millions in _IJEPA
    ]
    for infix, dimension, millions in _PIXIO:
        name, hub = f"pixio-{infix}", f"facebook/pixio-{infix}"
        rows.append(
            CatalogEntry(
                name,
                "transformers",
                hub,
                "image",
                "Pixio",
                _FAIR,
                dimension,
                16,
                256,
                millions,
                gated=True,
                note=classes,
            )
        )
    return rows


def _image_text() -> list[CatalogEntry]:
    families = (
        ("openai", "CLIP", _MIT, "", _CLIP),
        ("facebook", "MetaCLIP 2", _NON_COMMERCIAL, "300 languages", _METACLIP2),
        ("google", "SigLIP", _APACHE, "", _SIGLIP),
        ("google", "SigLIP 2", _APACHE, "many languages", _SIGLIP2),
        ("google", "TIPSv2", _APACHE, "patches comparable with text as they are", _TIPS),
    )
    return [
        CatalogEntry(
            name,
            "transformers",
            f"{owner}/{name}",
            "image-text",
            family,
            licence,
            dimension,
            patch,
            size,
            millions,
            note=note,
        )
        for owner, family, licence, note, models in families
        for name, dimension, patch, size, millions in models
    ]


def _open_clips() -> list[CatalogEntry]:
    return [
        CatalogEntry(
            name, "open_clip", (model, pretrained), "image-text", family, licence, dimension, patch, size, millions
        )
        for name, model, pretrained, family, licence, dimension, patch, size, millions in _OPEN_CLIP
    ]


def _timms() -> list[CatalogEntry]:
    return [
        CatalogEntry(
            name,
            "timm",
            f"timm/{model}",
            "image",
            family,
            licence,
            dimension,
            patch,
            size,
            millions,
            note=_TIMM_NOTES.get(family, ""),
        )
        for name, model, family, licence, dimension, patch, size, millions in _TIMM
    ]


def _paligemmas() -> list[CatalogEntry]:
    rows = []
    for prefix, family, dimension, millions in _PALIGEMMA:
        for stage, (sizes, note) in _PALIGEMMA_STAGES.items():
            if stage == "ft-docci" and prefix not in _PALIGEMMA_DOCCI:
                continue
            for size in sizes:
                name = f"{prefix}-{stage}-{size}"
                total = round(millions + ((size // 14) ** 2 - 256) * 1152 / 1e6)  # one position per patch
                rows.append(
                    CatalogEntry(
                        name,
                        "transformers",
                        f"google/{name}",
                        VISION_LANGUAGE,
                        family,
                        _GEMMA,
                        dimension,
                        14,
                        size,
                        total,
                        gated=True,
                        note=note,
                    )
                )
    return rows


CATALOG: dict[str, CatalogEntry] = {entry.name: entry for entry in _rows()}
"""Name -> row."""

_BY_HUB_ID = {entry.weights: entry for entry in CATALOG.values() if isinstance(entry.weights, str) and not entry.folder}
_BY_TIMM_NAME = {entry.source: entry for entry in CATALOG.values() if entry.library == "timm"}


def find(name: str) -> CatalogEntry:
    """Look up a row by catalogue name, hub id or timm:NAME.

    Raises:
        EncoderError: there is no such row; the message lists the nearest names.

    Examples:
        >>> find("facebook/dinov2-small").name
        'dinov2-small'
        >>> find("dinov2-smal")
        Traceback (most recent call last):
        ...
        dinoclip_viz.encoders.errors.EncoderError: no model is called 'dinov2-smal'; the nearest names are ...
    """
    entry = CATALOG.get(name) or _BY_HUB_ID.get(name) or _BY_TIMM_NAME.get(name)
    if entry is not None:
        return entry
    near = nearest(name) or ["playground-dino", "playground-clip"]
    raise EncoderError(
        f"no model is called {name!r}; the nearest names are {', '.join(near)} (`dinoclip models` lists all), "
        "or give a hub id (org/name) or a local folder"
    )


def nearest(name: str) -> list[str]:
    """Up to three catalogue names and hub ids that are similar to the name, the nearest first."""
    known = [*CATALOG, *(hub_id for hub_id in _BY_HUB_ID if "/" in name)]
    return difflib.get_close_matches(name, known, n=3, cutoff=0.5)


def on_disk(entry: CatalogEntry) -> bool:
    """Whether the model can be loaded offline: it is embedded, or its weights are in the hub's cache."""
    if entry.folder is not None:
        return (entry.folder / "config.json").is_file() and any(entry.folder.glob("*.safetensors"))
    from huggingface_hub import constants

    repository = entry.weights if isinstance(entry.weights, str) else _open_clip_repository(*entry.weights)
    if repository is None:
        return False
    cached = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    pattern = "open_clip*.safetensors" if entry.library == "open_clip" else "*model*.safetensors"
    return any(cached.glob(f"*/{pattern}"))


def _open_clip_repository(model: str, pretrained: str) -> str | None:
    """Hub id of a pair in open_clip's table; None, without importing open_clip, if the cache has none of its files."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    if not any(cache.glob("models--*/snapshots/*/open_clip*.safetensors")):
        return None
    from open_clip.pretrained import get_pretrained_cfg

    hub = str(get_pretrained_cfg(model, pretrained).get("hf_hub", ""))
    return "/".join(hub.split("/")[:2]) or None
