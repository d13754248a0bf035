"""The verbs of retrieval and search."""
