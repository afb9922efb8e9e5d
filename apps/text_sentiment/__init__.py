"""Text sentiment: see `__main__` for the story."""
