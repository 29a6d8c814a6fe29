"""Storage of messages and definitions."""
