"""What the label audit finds of faults put into a manifest, and what mending them gives."""
