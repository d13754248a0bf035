"""The app, opened at open-vocabulary heat maps."""

from dinoclip_viz.app import open_at

if __name__ == "__main__":
    open_at("heatmap", __doc__)
