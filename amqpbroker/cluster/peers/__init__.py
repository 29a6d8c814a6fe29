"""Connections between brokers: the port for them, and requests of HTTP over it."""
