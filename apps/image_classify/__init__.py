"""Image classification: see `__main__` for the story."""
