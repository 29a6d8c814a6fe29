"""Arguments of queues: their table, checks and comparison."""
