"""The verbs of the playground."""
