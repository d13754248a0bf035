"""Propagation of masks and points through videos, on the command line."""
