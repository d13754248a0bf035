"""The tab of label-free adaptation."""
