"""Encoders of the transformers library: DINO to DINOv3, I-JEPA, Pixio, CLIP, MetaCLIP 2, SigLIP, SigLIP 2 and TIPSv2.

The modules read a local folder, which `encoders.loading` finds or downloads.
"""

from dinoclip_viz.encoders.huggingface.architectures import ARCHITECTURES
from dinoclip_viz.encoders.huggingface.images import image_encoder
from dinoclip_viz.encoders.huggingface.texts import text_encoder
from dinoclip_viz.encoders.huggingface.weights import Loaded, drop_text, load, model_type

__all__ = ["ARCHITECTURES", "Loaded", "drop_text", "image_encoder", "load", "model_type", "text_encoder"]
