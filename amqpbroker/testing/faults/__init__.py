"""Faults, as a test orders them: between the sockets and their connections, and around the broker."""
