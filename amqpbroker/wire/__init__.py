"""Bytes to values and back: frames, methods, properties, field tables."""
