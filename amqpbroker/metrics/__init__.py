"""Metrics under RabbitMQ's names, in Prometheus's formats."""
