"""One behaviour per case, recorded from a real RabbitMQ and replayed against any broker."""
