"""Recipe of playground-dino: settings, encoder, crops, losses and training."""
