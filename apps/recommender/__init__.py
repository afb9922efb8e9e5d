"""Recommendation: see `train` for the story."""
