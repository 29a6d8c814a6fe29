"""Orders of the waiting messages of a queue, in memory and in pages."""
