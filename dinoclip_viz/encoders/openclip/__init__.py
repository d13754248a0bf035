"""Encoders of the open_clip library: its own ViTs, timm's ViTs and MobileCLIP's convolutional towers.

The modules read a local folder, which `encoders.loading` finds or downloads.
"""

from dinoclip_viz.encoders.openclip.images import image_encoder
from dinoclip_viz.encoders.openclip.texts import text_encoder
from dinoclip_viz.encoders.openclip.weights import Loaded, load_folder, load_published, repository

__all__ = ["Loaded", "image_encoder", "load_folder", "load_published", "repository", "text_encoder"]
