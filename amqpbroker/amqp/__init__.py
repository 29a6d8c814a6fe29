"""The AMQP 0-9-1 protocol on bytes, without I/O."""
