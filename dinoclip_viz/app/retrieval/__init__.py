"""The tab of search."""
