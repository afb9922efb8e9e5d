"""The embedded `simulated_transactions`: card payments that never happened."""
