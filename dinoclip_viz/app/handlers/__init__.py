"""How handlers are answered: once for equal requests, with images as complete files."""
