"""Data sets: from photos and labels to batches."""
