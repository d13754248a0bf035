"""Probes of frozen features: k-NN and linear classification, and linear heads on patches."""
