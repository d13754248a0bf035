"""`dinoclip pca`."""
