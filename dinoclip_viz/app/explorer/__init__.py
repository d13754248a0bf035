"""The tab that explores a store: an embedding map, selections, near duplicates and outliers."""
