"""Parts of the adapters to model libraries: preprocessing, batching, and access to transformer blocks."""
