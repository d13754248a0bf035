"""The app with all tabs."""

from dinoclip_viz.app import open_at

if __name__ == "__main__":
    open_at("zero-shot", __doc__)
