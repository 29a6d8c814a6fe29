"""A fake link without a socket: sent data, input, and the number of bytes that the socket accepts."""

from collections import Counter

from amqpbroker.cli.perf.access import Uri


class FakeLink:
    def __init__(self):
        self.sent = b""
        self.incoming = b""
        self.takes = 1 << 30
        self.current = b""
        self.client = self
        self.access = self
        self.uri = Uri()
        self.passed_over = Counter()
        self.comes_while_closing = Counter()

    @property
    def unsent(self):
        return len(self.current)

    @property
    def is_idle(self):
        return not self.current

    def send(self, data):
        self.current = bytes(data)
        return self.flush()

    def queue(self, data):
        self.sent += data

    def flush(self):
        taken, self.current = self.current[: self.takes], self.current[self.takes :]
        self.takes -= len(taken)
        self.sent += taken
        return not self.current

    def receive_into(self, space):
        size = min(len(space), len(self.incoming))
        space[:size], self.incoming = self.incoming[:size], self.incoming[size:]
        return size

    def finish(self, timeout_s, unread):
        self.sent += self.current
        self.current = b""
        self.unread = unread
        self.passed_over += self.comes_while_closing
        return True
