"""amqpbroker: an AMQP 0-9-1 message broker that RabbitMQ's clients connect to unchanged."""

__version__ = "0.1.0"
