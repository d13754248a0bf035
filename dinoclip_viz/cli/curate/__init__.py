"""`dinoclip curate`: balancing by entries, coverage of concepts, and lists of entries."""
