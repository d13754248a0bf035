"""Image encoders of timm: `timm:NAME` for its published weights, or a folder in its hub format."""

from dinoclip_viz.encoders.timm_models.images import image_encoder
from dinoclip_viz.encoders.timm_models.weights import Loaded, is_timm_folder, load, random_model, repository

__all__ = ["Loaded", "image_encoder", "is_timm_folder", "load", "random_model", "repository"]
