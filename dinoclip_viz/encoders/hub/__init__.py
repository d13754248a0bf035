"""Download of models from the Hugging Face hub: only safetensors and settings, no pickle and no code."""

from dinoclip_viz.encoders.hub.fetching import Options, fetch
from dinoclip_viz.encoders.hub.refusals import OFFLINE, failures, refusal, unread

__all__ = ["OFFLINE", "Options", "failures", "fetch", "refusal", "unread"]
