"""Exchanges: one module for each exchange type, and the routing of messages to queues."""
