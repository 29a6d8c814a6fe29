"""A shop: orders are taken, paid for, and confirmed by mail. Each of these tells the next by a broker."""
