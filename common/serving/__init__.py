"""The embedded server for laptops and tests, and what starts a server."""
