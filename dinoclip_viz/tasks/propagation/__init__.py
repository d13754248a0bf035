"""Propagation of masks and points through the frames of a video, and its measures."""
