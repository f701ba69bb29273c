"""What is minimised: losses of known labels, summed so that parts of a batch add to the whole."""
