"""Compression of a user's own Keras 3 model: see `__main__`."""
