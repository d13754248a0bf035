"""The app as a Hugging Face Space."""

import contextlib

with contextlib.suppress(ImportError):  # required before torch on ZeroGPU, not installed elsewhere
    import spaces  # noqa: F401

import os

from dinoclip_viz.app import build_demo, launch

demo = build_demo(
    os.environ.get("DINOCLIP_MODEL", "playground"),
    os.environ.get("DINOCLIP_GUIDE"),
    device=os.environ.get("DINOCLIP_DEVICE", "auto"),
    dtype=os.environ.get("DINOCLIP_DTYPE", "auto"),
    public=True,
    allow=os.environ.get("DINOCLIP_ALLOW", "clip-vit-base-patch16 dinov2-small").split(),
)

if __name__ == "__main__":
    launch(demo, host="0.0.0.0", port=7860)
