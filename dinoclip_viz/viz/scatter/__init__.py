"""A map of points in the browser: hover, zoom, pan, lasso and legend, for hundreds of thousands of points.

The drawing is Plotly's, by WebGL; its script is read from the installed package and becomes part of the page.
"""

from dinoclip_viz.viz.scatter.page import library_code, scatter_code, scatter_fragment, scatter_page, scatter_style
from dinoclip_viz.viz.scatter.payload import scatter_payload

__all__ = [
    "library_code",
    "scatter_code",
    "scatter_fragment",
    "scatter_page",
    "scatter_payload",
    "scatter_style",
]
