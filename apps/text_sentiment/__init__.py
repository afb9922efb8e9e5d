"""Text sentiment: see `train` for the story."""
