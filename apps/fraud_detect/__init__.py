"""Fraud detection in card transactions, with labels that come late."""
