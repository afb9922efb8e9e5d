"""The embedded `phantoms`: drawn, not photographed; no patient is in them."""
