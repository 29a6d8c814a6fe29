"""Real AMQP clients, each run against a broker process of its own. See README.md."""
