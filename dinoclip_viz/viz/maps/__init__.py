"""Maps of patch values as images: overlays, PCA colours, labels, depth, token norms, correspondences."""
