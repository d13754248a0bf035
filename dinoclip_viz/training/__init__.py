"""Training a projector from feature stores: recipes, losses, the loop."""
