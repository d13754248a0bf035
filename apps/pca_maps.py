"""The app, opened at PCA of patch features."""

from dinoclip_viz.app import open_at

if __name__ == "__main__":
    open_at("pca", __doc__)
