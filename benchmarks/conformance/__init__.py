"""Requests to a server and the answers that TF Serving's API documents."""
