"""The verbs of affordances."""
