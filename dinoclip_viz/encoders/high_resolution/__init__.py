"""Images at high resolution: tiles, and the estimated time and memory of encoding them."""
