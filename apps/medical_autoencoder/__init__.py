"""Medical-image autoencoder: see `train` for the story."""
