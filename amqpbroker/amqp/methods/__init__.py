"""The methods that are not on the hot path, one module an AMQP class."""
