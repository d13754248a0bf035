"""What can be asked of features: pure functions, tensors in, tensors or numbers out."""
