"""Exchanges: their types, one a module, and how a message finds its queues."""
