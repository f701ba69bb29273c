"""Backbones, heads, weights and model folders."""
