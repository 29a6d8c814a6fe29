"""Moves messages from one broker to another."""
