"""The tab of text-prompted heat maps."""
