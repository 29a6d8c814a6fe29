"""amqpbroker: an AMQP 0-9-1 message broker that RabbitMQ's clients connect to unchanged.

pytest, which finds a plugin here, is not to mind who has imported this before: PYTEST_DONT_REWRITE
"""

__version__ = "0.1.0"
