"""Retrieval: recall between images and captions, search in stores, near duplicates, instances."""
