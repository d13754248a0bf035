"""Data sets for instance retrieval."""
