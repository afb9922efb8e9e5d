"""The embedded `tastes`: generated users, films and what they watched."""
