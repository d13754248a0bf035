"""Alignment of two frozen unimodal encoders: heads on both sides, trained or in closed form, from their stores."""
