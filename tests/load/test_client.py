import socket

import pytest

from tests.load.client import LoadClient


def test_a_client_that_cannot_log_in_closes_its_socket():
    sockets = []

    class Refused(LoadClient):
        def expect(self, name):
            sockets.append(self.socket)
            raise ConnectionError(name)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionError):
            Refused(port)
    assert [one.fileno() for one in sockets] == [-1]
