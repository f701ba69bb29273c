"""The label audit: what looks wrong in photos and labels, and what would mend it."""
