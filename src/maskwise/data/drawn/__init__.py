"""Drawn people: the embedded sample set."""
