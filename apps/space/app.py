"""The app as a Hugging Face Space, on a CPU or on ZeroGPU."""

try:
    import spaces  # before torch on ZeroGPU; not installed elsewhere
except ImportError:
    spaces = None

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dinoclip_viz.app import build_demo, launch

HERE = Path(__file__).parent
SECONDS = 60
"""Longest call on ZeroGPU. A visitor's quota is charged for the time that is used."""


def on_accelerator(call: Callable[..., Any], *given: Any) -> Any:
    """A model's run, the only function for which ZeroGPU lends a GPU."""
    return call(*given)


model = os.environ.get("DINOCLIP_MODEL", "openai/clip-vit-base-patch16")
demo = build_demo(
    model,
    os.environ.get("DINOCLIP_GUIDE") or (None if model.startswith("playground") else "facebook/dinov2-small"),
    device=os.environ.get("DINOCLIP_DEVICE", "auto"),
    dtype=os.environ.get("DINOCLIP_DTYPE", "auto"),
    public=True,
    allow=os.environ.get("DINOCLIP_ALLOW", "clip-vit-base-patch16 dinov2-small").split(),
    fallback="playground",
    photographs=[] if model.startswith("playground") else sorted((HERE / "photographs").glob("*.jpg")),
    runner=spaces.GPU(duration=SECONDS)(on_accelerator) if spaces else None,
)

if __name__ == "__main__":
    launch(demo, host="0.0.0.0", port=int(os.environ.get("GRADIO_SERVER_PORT", "7860")))
