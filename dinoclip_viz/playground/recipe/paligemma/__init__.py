"""Training of playground-paligemma and of its mask codec, playground-masks."""
