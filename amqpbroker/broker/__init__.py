"""The broker's domain: virtual hosts, exchanges and queues, without frames and without I/O."""
