"""From a trained model to one file that needs no training framework."""
