"""Definitions that are kept: vhosts, exchanges, queues, bindings, users and the like."""
