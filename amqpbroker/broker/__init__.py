"""The domain: virtual hosts, exchanges, queues. No frames, no I/O."""
