"""The tab of zero-shot classification."""
