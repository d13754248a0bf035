"""Arrays in, figures out: colours, overlays, charts, legends and layouts, independent of any model.

The caller gives the range of every colour scale, so that two maps can be compared. NaN means "unknown" and is drawn
grey or hatched, never as a value. Images are PIL images, arrays or tensors. Importing this package loads Pillow and
NumPy only; matplotlib is loaded by the functions that need it.
"""

from dinoclip_viz.viz.charts.bars import score_bars
from dinoclip_viz.viz.charts.confidence import confidence_chart
from dinoclip_viz.viz.charts.curve import learning_curve
from dinoclip_viz.viz.charts.frequency import rank_frequency
from dinoclip_viz.viz.charts.histogram import component_histogram, figure_to_image
from dinoclip_viz.viz.colours import COLOUR_MAPS, colour_map
from dinoclip_viz.viz.enlarge import enlarge, enlarge_values
from dinoclip_viz.viz.layout.animation import save_animation
from dinoclip_viz.viz.layout.contact_sheet import contact_sheet, grey_tile
from dinoclip_viz.viz.layout.grid import image_grid, side_by_side
from dinoclip_viz.viz.layout.legend import class_legend, component_legend, scale_bar, with_legend
from dinoclip_viz.viz.layout.parts import parts_legend
from dinoclip_viz.viz.maps.dense import (
    depth_image,
    depth_legend,
    depth_with_bar,
    label_colours,
    label_image,
    labels_legend,
)
from dinoclip_viz.viz.maps.detections import detection_image
from dinoclip_viz.viz.maps.matches import mark_points, match_image, place_colours
from dinoclip_viz.viz.maps.overlay import heat_overlay, mask_outline, mask_overlay
from dinoclip_viz.viz.maps.pca import pca_image
from dinoclip_viz.viz.maps.tokens import attention_maps, norm_histograms, norm_maps
from dinoclip_viz.viz.maps.tracks import track_image
from dinoclip_viz.viz.palette import class_palette

__all__ = [
    "COLOUR_MAPS",
    "attention_maps",
    "class_legend",
    "class_palette",
    "colour_map",
    "component_histogram",
    "component_legend",
    "confidence_chart",
    "contact_sheet",
    "depth_image",
    "depth_legend",
    "depth_with_bar",
    "detection_image",
    "enlarge",
    "enlarge_values",
    "figure_to_image",
    "grey_tile",
    "heat_overlay",
    "image_grid",
    "label_colours",
    "label_image",
    "labels_legend",
    "learning_curve",
    "mark_points",
    "mask_outline",
    "mask_overlay",
    "match_image",
    "norm_histograms",
    "norm_maps",
    "parts_legend",
    "pca_image",
    "place_colours",
    "rank_frequency",
    "save_animation",
    "scale_bar",
    "score_bars",
    "side_by_side",
    "track_image",
    "with_legend",
]
