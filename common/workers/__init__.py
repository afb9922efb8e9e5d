"""The workers of a multi-worker training: how they meet, what they agree on."""
