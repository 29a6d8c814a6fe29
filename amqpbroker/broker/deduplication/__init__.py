"""Duplicates of messages: ids that queues and exchanges have accepted."""
