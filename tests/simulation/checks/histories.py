"""Histories of counters: their number, and the number of their samples."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.counters.rates import HISTORY_LENGTH

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield the excess over each bound."""
    broker = process.broker
    histories = broker.rates._histories._histories
    if len(histories) > broker.config.bounds.histories:
        yield f"{len(histories)} objects have histories"
    for counted, history in (*histories.items(), (broker, broker.rates._history)):
        if len(history._numbers) > HISTORY_LENGTH * (1 + len(counted.counter_names)):
            yield f"a history of {type(counted).__name__} has {len(history._numbers)} numbers"
