"""Images with captions: folders, lists, COCO, Flickr, tar shards, hub data sets."""
