"""Recipe of playground-clip: tokenizer and training."""
