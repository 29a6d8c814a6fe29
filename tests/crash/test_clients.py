"""Records of a client of the crash test when its connection breaks."""

import random

import pytest

from tests.crash import pairs
from tests.crash.ledger import Ledger


class BreakingClient:
    """A replacement of LoadClient whose connection breaks at the send number `sends`."""

    def __init__(self, sends):
        self._sends = sends

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass

    def declare(self, queue, **flags):
        pass

    def call(self, name, answer):
        pass

    def send(self, data):
        self._sends -= 1
        if not self._sends:
            raise ConnectionError


@pytest.mark.parametrize("sends", range(1, 7))
def test_paired_ledgers_agree_whichever_send_fails(monkeypatch, sends):
    monkeypatch.setattr(pairs.PairPublisher, "connect", lambda client: BreakingClient(sends))
    one, other = Ledger("one"), Ledger("other")
    with pytest.raises(ConnectionError):
        pairs.PairPublisher(random.Random(1), one, other).work()
    assert one.sent == other.sent
    assert one.confirmed == other.confirmed
