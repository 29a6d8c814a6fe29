"""Real AMQP clients, each run against its own broker process. See README.md."""
