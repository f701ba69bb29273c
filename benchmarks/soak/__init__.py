"""Attacks on the service, crashes and load, with one table of what they do."""
