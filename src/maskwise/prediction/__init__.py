"""Answers for photos."""
