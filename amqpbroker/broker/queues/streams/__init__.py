"""Queues whose messages are in a log, and are read at any offset."""
