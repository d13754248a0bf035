"""The tab of patch PCA."""
