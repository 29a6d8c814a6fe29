"""A link that can be interrupted: forwards a port of this machine to a host and port."""

import contextlib
import socket
import threading


class Line:
    def __init__(self, host, port):
        self._to = host, port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._is_cut = False
        self._sockets = set()
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Lose data in transit, and refuse connections."""
        self._is_cut = True
        for end in list(self._sockets):
            self._close(end)

    def mend(self):
        self._is_cut = False

    def _accept(self):
        while True:
            near, _ = self._server.accept()
            self._sockets.add(near)
            if self._is_cut:
                self._close(near)
                continue
            far = socket.create_connection(self._to)
            self._sockets.add(far)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        self._close(source)
        self._close(target)

    def _close(self, end):
        self._sockets.discard(end)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
