"""Training: `fit` with exact resume, on one device or on several."""
