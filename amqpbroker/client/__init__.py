"""The client side of AMQP 0-9-1: connections of shovels, and the login of `amqpbroker perf` and the tests."""
