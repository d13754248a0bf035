"""Recipe of playground-text: tokenizer, training and evaluation of a text encoder without images."""
