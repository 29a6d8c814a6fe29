"""Two brokers with one database, without standbys."""

import pytest

from tests.failover.cluster import Brokers
from tests.postgresql import UNSAFE, PostgreSQL

LEASE_S = 1.5


class OneDatabase:
    """A server without standbys, as `Brokers` uses it."""

    def __init__(self, disk_for=""):
        """disk_for: as in `PostgreSQL`."""
        self.primary = PostgreSQL(*UNSAFE, disk_for=disk_for)
        self.primary.create()
        self.ports = [self.primary.port]


@pytest.fixture(scope="module")
def server():
    database = OneDatabase()
    yield database
    database.primary.close()


@pytest.fixture
def brokers(server, tmp_path):
    """Two brokers."""
    server.primary.execute("DROP SCHEMA IF EXISTS amqpbroker CASCADE")
    made = Brokers(tmp_path, server, 2, LEASE_S)
    yield made
    made.close()
