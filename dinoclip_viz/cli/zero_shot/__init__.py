"""The verbs of zero-shot classification."""
