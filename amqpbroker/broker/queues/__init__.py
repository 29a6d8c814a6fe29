"""Queues: what waits in them, who consumes it, and where it goes."""
