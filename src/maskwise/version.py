"""The version of Maskwise."""

__version__ = "0.1.0"
