"""PCA of patch features, and the segments and foreground that patches give."""
