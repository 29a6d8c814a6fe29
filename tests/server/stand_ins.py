"""Stand-ins for the two sides of a client's transport: its protocol handler, and asyncio."""

import socket
import struct


class Connection:
    """Stands in for amqp.connection.Connection: does what the test says."""

    def __init__(self, peer, on_dirty):
        self.peer = peer
        self.on_dirty = on_dirty
        self.closing = False
        self.abandoned = False
        self.reading = True
        self.wanted = 0
        self.published = 0
        self.calls = []
        self.output = b""
        self.fails_in = ""

    def _called(self, name, *arguments):
        self.calls.append((name, *arguments))
        if self.fails_in == name:
            raise RuntimeError(f"{name} failed")

    def feed(self, data):
        self._called("feed", data)

    def collect(self):
        self._called("collect")
        output, self.output = self.output, b""
        return [output] if output else []

    def set_writable(self, writable):
        self._called("set_writable", writable)

    def lost(self):
        self._called("lost")

    def hand_over(self):
        self._called("hand_over")
        return b"rest"

    def stop_deliveries(self):
        self._called("stop_deliveries")

    def shutdown(self):
        self._called("shutdown")


class Socket:
    def __init__(self):
        self.options = set()

    def setsockopt(self, level, option, value):
        self.options = {each for each in self.options if each[:2] != (level, option)}
        self.options.add((level, option, value))

    def fileno(self):
        return -1

    @property
    def resets(self):
        """Return whether it is going to be closed with RST."""
        return (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)) in self.options


class Transport:
    """Stands in for asyncio's transport."""

    def __init__(self, **extra):
        self.socket = Socket()
        self.extra = {"socket": self.socket, "peername": ("10.0.0.9", 4711), "sockname": ("10.0.0.1", 5672)} | extra
        self.written = []
        self.unwritten = 0
        self.reading = True
        self.closed = False
        self.aborted = False
        self.protocol = None

    def get_extra_info(self, name):
        return self.extra.get(name)

    def get_write_buffer_size(self):
        return self.unwritten

    def set_write_buffer_limits(self, high, low):
        assert low < high

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        self.written.append(data)

    def writelines(self, parts):
        self.written.append(b"".join(parts))

    def close(self):
        self.closed = True

    def abort(self):
        self.aborted = True

    def is_closing(self):
        return self.closed or self.aborted

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True
