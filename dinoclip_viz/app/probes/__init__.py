"""The tabs of linear probes and nearest neighbours."""
