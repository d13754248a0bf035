"""Image-text models: an image encoder, a projector or none, and a text encoder, meeting in one space."""

from dinoclip_viz.models.loading import load_model
from dinoclip_viz.models.model import ImageTextModel
from dinoclip_viz.models.patches import HEATMAP_METHODS
from dinoclip_viz.models.texts import ProjectedTexts

__all__ = ["HEATMAP_METHODS", "ImageTextModel", "ProjectedTexts", "load_model"]
