"""The tab of token norms and attention."""
