"""Batches of messages, whose publishers are notified when all members are settled."""
