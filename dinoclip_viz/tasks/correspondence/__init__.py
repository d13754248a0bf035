"""Correspondences between images, and their accuracy."""
