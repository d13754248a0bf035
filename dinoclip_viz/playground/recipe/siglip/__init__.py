"""Recipe of playground-siglip: training and evaluation of an image-text model with the sigmoid loss."""
