"""Where images and captions come from: folders, lists, COCO, Flickr, tar shards, hub data sets, the playground."""
