"""The workers of a multi-worker training: how they meet and agree."""
