"""Masks drawn on real bare faces: where they sit, what they look like, and the photo's light."""
