"""Messages, and the copies of them that queues hold."""
