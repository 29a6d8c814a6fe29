"""Faults that tests inject: between sockets and connections, and in the broker."""
