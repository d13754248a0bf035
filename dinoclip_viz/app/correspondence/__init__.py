"""The tabs of correspondences and patch similarity."""
