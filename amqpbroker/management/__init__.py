"""The HTTP management API and its page, as RabbitMQ's management plugin has them."""
