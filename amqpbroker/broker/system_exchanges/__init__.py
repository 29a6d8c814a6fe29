"""Exchanges that the broker itself publishes to: amq.rabbitmq.event and amq.rabbitmq.trace."""
