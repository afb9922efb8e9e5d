"""Explanations: which parts of an input moved a model's score, and a page."""
