"""TFDS builders: the embedded data sets, one folder each."""
