"""The client half of AMQP 0-9-1: for shovels, `amqpbroker perf`, faults and the tests."""
