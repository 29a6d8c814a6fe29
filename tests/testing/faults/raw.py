"""A client that sends and receives single frames."""

import socket

from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, content, frame
from amqpbroker.wire.reader import FrameReader

HEADER = b"AMQP\0\0\x09\x01"


def method(channel, name, **arguments):
    return frame(METHOD, channel, methods.encode(name, **arguments))


def publish(body, routing_key="q", channel=1, frame_max=131072):
    """Return the frames of a publish."""
    return method(channel, "basic.publish", routing_key=routing_key) + content(channel, b"\0\0", body, frame_max)


class Client:
    """Connects, logs in and opens channel 1, unless `greeted` is False."""

    def __init__(self, b, greeted=True, tls=None, port=None, heartbeat=0, frame_max=131072):
        self.socket = socket.create_connection((b.host, port or b.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as client libraries do
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket)
        self._reader = FrameReader(0)
        self.pieces = []
        if greeted:
            self.send(HEADER)
            self.expect("connection.start")
            self.send(method(0, "connection.start-ok", mechanism="PLAIN", response=b"\0guest\0guest", locale="en_US"))
            self.expect("connection.tune")
            tuned = {"channel_max": 100, "frame_max": frame_max, "heartbeat": heartbeat}
            self.send(method(0, "connection.tune-ok", **tuned) + method(0, "connection.open", virtual_host="/"))
            self.expect("connection.open-ok")
            self.send(method(1, "channel.open"))
            self.expect("channel.open-ok")

    def send(self, data):
        self.socket.sendall(data)

    def call(self, name, **arguments):
        """On channel 1; returns what is answered."""
        self.send(method(1, name, **arguments))
        return self.expect(f"{name}-ok")

    def read(self):
        """The next method's name and arguments, or the next frame's kind and payload. Raises EOFError, OSError."""
        while (found := next(self._reader.frames(), None)) is None:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError(self._reader.take(self._reader.held))
            self.pieces.append(len(more))
            self._reader.feed(more)
        kind, _, payload = found
        if kind != METHOD:
            return kind, payload
        method = methods.METHODS[int.from_bytes(payload[:4], "big")]
        return method.name, methods.decode(method, payload)

    def expect(self, name):
        got, arguments = self.read()
        assert got == name, (got, arguments)
        return arguments

    def told(self):
        """The confirms that are there, after what was sent has been handled."""
        told = []
        for _ in range(2):  # confirms are written when a turn ends, behind the answers
            self.send(method(1, "queue.declare", queue="q", passive=True))
            while (got := self.read())[0] != "queue.declare-ok":
                told.append((got[0], got[1]["delivery_tag"]))
        return told

    def end(self):
        """Read until the end of the connection. Return its kind: EOFError or ConnectionResetError."""
        try:
            while data := self.socket.recv(65536):
                self.pieces.append(len(data))
        except OSError as error:
            return type(error)
        return EOFError

    def close(self):
        self.socket.close()
