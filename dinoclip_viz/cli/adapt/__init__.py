"""The verbs of label-free adaptation."""
