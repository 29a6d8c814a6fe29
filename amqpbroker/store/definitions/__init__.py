"""Durable definitions: vhosts, exchanges, queues, bindings, users and others."""
