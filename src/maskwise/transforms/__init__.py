"""From a photo to the pixels that a model sees."""
