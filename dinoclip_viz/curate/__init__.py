"""Choosing data: which of many captions and images to train on."""
