"""Message groups of a queue: keys, order, versions, parked and closed groups."""
