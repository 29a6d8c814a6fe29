"""Moves messages from broker to broker."""
