"""Zero-shot classification: probabilities of labels, lists of class names, accuracy."""
