"""Tasks on features: pure functions, tensors in, tensors or numbers out."""
