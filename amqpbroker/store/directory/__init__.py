"""The data directory: who owns it, what is in it."""
