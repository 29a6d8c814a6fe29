"""A shop: orders are placed, paid for, and confirmed by mail. Each step notifies the next through a broker."""
