"""Recommendation: see `__main__` for the story."""
