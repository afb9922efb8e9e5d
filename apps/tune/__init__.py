"""The search for settings: see `__main__`."""
