"""Where images and captions come from: folders, lists, COCO, Flickr, tar shards, hub data sets, the playground."""

from dinoclip_viz.data.base import Sample, Source, SourceError, Unreadable
from dinoclip_viz.data.coco import CocoSource, KarpathySource
from dinoclip_viz.data.drawn import PlaygroundSource
from dinoclip_viz.data.flickr import FlickrSource
from dinoclip_viz.data.folders import FolderSource
from dinoclip_viz.data.hub import HubSource
from dinoclip_viz.data.lists import ListSource
from dinoclip_viz.data.opening import open_source
from dinoclip_viz.data.reopen import reopen
from dinoclip_viz.data.tars import TarSource

__all__ = [
    "CocoSource",
    "FlickrSource",
    "FolderSource",
    "HubSource",
    "KarpathySource",
    "ListSource",
    "PlaygroundSource",
    "Sample",
    "Source",
    "SourceError",
    "TarSource",
    "Unreadable",
    "open_source",
    "reopen",
]
