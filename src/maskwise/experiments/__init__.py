"""Several trainings for one question: which recipe, which policy."""
