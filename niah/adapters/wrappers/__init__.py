"""Adapters around an adapter: sliding windows, another pooling, features that are rendered when they are read."""
