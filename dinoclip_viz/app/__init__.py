"""The Gradio app: a folder per tab; `build_demo` makes the page, `launch` serves it."""

from dinoclip_viz.app.launcher import open_at
from dinoclip_viz.app.page import build_demo
from dinoclip_viz.app.serve import launch, launch_settings

__all__ = ["build_demo", "launch", "launch_settings", "open_at"]
