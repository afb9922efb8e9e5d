"""Image classification: see `train` for the story."""
