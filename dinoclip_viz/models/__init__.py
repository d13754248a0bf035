"""Image-text models: an image encoder and a text encoder with a common space, by a projector if needed."""

from dinoclip_viz.models.classifier import Classifier
from dinoclip_viz.models.loading import as_model, load_model
from dinoclip_viz.models.model import ImageTextModel
from dinoclip_viz.models.patches import HEATMAP_METHODS
from dinoclip_viz.models.texts import ProjectedTexts

__all__ = ["HEATMAP_METHODS", "Classifier", "ImageTextModel", "ProjectedTexts", "as_model", "load_model"]
