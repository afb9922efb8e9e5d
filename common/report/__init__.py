"""The report of a run: figures, plots, the page."""
