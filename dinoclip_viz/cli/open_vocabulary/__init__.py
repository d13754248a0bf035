"""The verbs of text-prompted heat maps."""
