"""The Gradio app: one file a tab; `build_demo` puts them on a page, `launch` serves it."""

from dinoclip_viz.app.launcher import open_at
from dinoclip_viz.app.page import build_demo
from dinoclip_viz.app.serve import launch, launch_settings

__all__ = ["build_demo", "launch", "launch_settings", "open_at"]
