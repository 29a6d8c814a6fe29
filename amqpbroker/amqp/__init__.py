"""The AMQP 0-9-1 protocol over bytes: no I/O."""
