import pytest

from amqpbroker.broker.vhost import Vhost
from tests.broker.queueing import make_vhost


@pytest.fixture
def vhost() -> Vhost:
    """An empty vhost, whose clock is advanced by the test."""
    return make_vhost()
