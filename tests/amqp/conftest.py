"""Clients for the tests of the protocol. A test that uses `cut` or `client` runs with each of harness.CUTS."""

from collections.abc import Callable

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from tests.harness import CUTS, Cut, Wire, make_broker

#: Cut input reaches states of a connection that whole scripts never reach.
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
    """Return a function that makes clients which have logged in and opened channel 1; its options are those of
    Wire.log_in.
    """
    return lambda **options: Wire(broker, cut).log_in(**options)


@pytest.fixture
def client(connect: Callable[..., Wire]) -> Wire:
    return connect()


@pytest.fixture
def other(broker: Broker) -> Wire:
    """A second client, whose bytes are not cut."""
    return Wire(broker).log_in()
