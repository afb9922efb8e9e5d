"""Data: splits, the pipelines that read them, and where they come from."""
