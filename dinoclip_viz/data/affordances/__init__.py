"""Images with the regions that answer verbs: the playground, AGD20K, UMD."""
