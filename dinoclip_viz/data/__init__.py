"""Where images and captions come from: folders, lists, COCO, Flickr, tar shards, hub data sets, the playground."""

from dinoclip_viz.data.base import Sample, Source, SourceError, Unreadable
from dinoclip_viz.data.captions.coco import CocoSource, KarpathySource
from dinoclip_viz.data.captions.flickr import FlickrSource
from dinoclip_viz.data.captions.folders import FolderSource
from dinoclip_viz.data.captions.hub import HubSource
from dinoclip_viz.data.captions.lists import ListSource
from dinoclip_viz.data.captions.tars import TarSource
from dinoclip_viz.data.opening import open_source
from dinoclip_viz.data.playground import PlaygroundSource
from dinoclip_viz.data.reopen import reopen

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
