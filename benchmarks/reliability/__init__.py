"""Kills, damaged files and wrong command lines, in number and by seed."""
