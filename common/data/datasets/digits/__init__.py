"""The embedded `digits`: scikit-learn's 1,797 handwritten digits."""
