"""The verbs of correspondences."""
