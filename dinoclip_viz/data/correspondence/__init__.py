"""Image pairs with matching points."""
