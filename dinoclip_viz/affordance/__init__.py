"""Affordances: which part of an object answers a verb."""
