"""Shovels: their definitions and states. The moving itself is in `amqpbroker.shovel`."""
