"""Cameras and films on this machine: who passes, written down; a film without faces."""
