"""Text encoders in sentence-transformers' layout: a model of transformers, pooling, and optional further modules.

The library itself is not needed. Only safetensors are read, and no code from a folder is run.
"""

from dinoclip_viz.encoders.sentence_models.layout import is_sentence_folder
from dinoclip_viz.encoders.sentence_models.texts import text_encoder
from dinoclip_viz.encoders.sentence_models.weights import Loaded, load

__all__ = ["Loaded", "is_sentence_folder", "load", "text_encoder"]
