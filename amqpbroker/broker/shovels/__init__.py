"""Definitions and states of shovels. `amqpbroker.shovel` moves the messages."""
