"""Clients for the tests of the protocol. A test that takes `cut` or `client` runs under each of harness.CUTS."""

from collections.abc import Callable

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from tests.harness import CUTS, Cut, Wire, make_broker

#: Cutting looks for mistakes in states that a connection does not come to when it is fed whole scripts.
CUTTING = ["whole", *(pytest.param(name, marks=pytest.mark.explore) for name in CUTS if name != "whole")]


@pytest.fixture(params=CUTTING)
def cut(request: pytest.FixtureRequest) -> Cut:
    return CUTS[request.param]


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def clock(broker: Broker) -> ManualClock:
    assert isinstance(broker.clock, ManualClock)
    return broker.clock


@pytest.fixture
def connect(broker: Broker, cut: Cut) -> Callable[..., Wire]:
    """Makes clients that have logged in and have channel 1 open; takes what Wire.log_in takes."""
    return lambda **options: Wire(broker, cut).log_in(**options)


@pytest.fixture
def client(connect: Callable[..., Wire]) -> Wire:
    return connect()


@pytest.fixture
def other(broker: Broker) -> Wire:
    """A second client, whose bytes are not cut."""
    return Wire(broker).log_in()
