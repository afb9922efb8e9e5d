"""Releases: what a server loads, and the messages that it is sent."""
