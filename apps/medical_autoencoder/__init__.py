"""Medical-image autoencoder: see `__main__` for the story."""
