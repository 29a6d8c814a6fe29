"""Conversion between bytes and values: frames, methods, properties, field tables."""
