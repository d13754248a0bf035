"""Numbers as charts: bars, histograms, learning curves."""
