"""Affordances: which part of an object answers a verb, learnt from one annotated image per class."""
