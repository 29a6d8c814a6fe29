"""Queues: their messages, their consumers, and the ways in which messages leave them."""
