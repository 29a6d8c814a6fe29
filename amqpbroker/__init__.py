"""amqpbroker: an AMQP 0-9-1 message broker. RabbitMQ clients connect to it unchanged.

PYTEST_DONT_REWRITE: this package contains a pytest plugin, and pytest must not warn if it was imported before.
"""

__version__ = "0.1.0"
