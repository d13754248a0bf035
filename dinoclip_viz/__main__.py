"""`python -m dinoclip_viz` is `dinoclip`."""

import sys

from dinoclip_viz.cli import main

if __name__ == "__main__":
    sys.exit(main())
