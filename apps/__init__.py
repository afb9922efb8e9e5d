"""The applications, each run by `python -m apps.<app>`."""
