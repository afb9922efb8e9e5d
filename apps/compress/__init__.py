"""Compression of a user's own Keras 3 model; see `train`."""
