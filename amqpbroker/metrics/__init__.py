"""The metrics under RabbitMQ's names, in Prometheus's formats."""
