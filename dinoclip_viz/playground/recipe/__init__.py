"""Recipe of the embedded models: images rendered once, then encoders, projector and heads, each resumable."""
