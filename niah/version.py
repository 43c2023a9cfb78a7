"""The version of this package, which every stored row names."""

__version__ = "0.1.0"
