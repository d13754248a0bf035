"""The app, opened at the text-prompted heat maps."""

from dinoclip_viz.app import open_at

if __name__ == "__main__":
    open_at("heatmap", __doc__)
