"""Definitions in RabbitMQ's format: what a broker has beside messages, as one document (rabbit_definitions.erl)."""
