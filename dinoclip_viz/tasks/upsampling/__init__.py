"""Upsampling of patch grids to the resolution of images: bilinear, guided by the image, trained, or AnyUp."""

from dinoclip_viz.tasks.upsampling.anyup import upsample_anyup
from dinoclip_viz.tasks.upsampling.bilinear import upsample_bilinear
from dinoclip_viz.tasks.upsampling.maps import METHODS, upsample, upsample_labels, upsample_part

__all__ = ["METHODS", "upsample", "upsample_anyup", "upsample_bilinear", "upsample_labels", "upsample_part"]
