"""The same work on many processes and machines."""
