"""The verbs that measure frozen features with probes."""
