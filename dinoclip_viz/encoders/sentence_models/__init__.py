"""Text encoders in sentence-transformers' layout: a model of transformers, pooling, and optional further modules.

The library itself is not needed. Only safetensors are read, and no code from a folder is run.
"""

from dinoclip_viz.encoders.sentence_models.layout import MODES, is_sentence_folder, is_text_model
from dinoclip_viz.encoders.sentence_models.texts import text_encoder
from dinoclip_viz.encoders.sentence_models.weights import Loaded, load

__all__ = ["MODES", "Loaded", "is_sentence_folder", "is_text_model", "load", "text_encoder"]
