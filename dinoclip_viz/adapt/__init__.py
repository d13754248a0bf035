"""Label-free adaptation: a model learns better text classifiers from unlabelled images of its classes."""
