"""The tab of affordances."""
