"""Interfaces for listeners to events and for observers of messages."""
