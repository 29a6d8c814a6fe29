"""Redrive: moving dead letters back to the queues in which they died."""
