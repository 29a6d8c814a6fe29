"""One behaviour a case, its expectation recorded from a real RabbitMQ, replayed against any broker."""
