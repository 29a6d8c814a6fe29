"""The broker process of the tests."""

import os

import pytest

from tests.process import BrokerProcess


@pytest.mark.skipif(os.name == "nt", reason="no process writes its stacks there")
def test_a_broker_that_does_not_end_writes_where_it_is(tmp_path):
    broker = BrokerProcess(tmp_path, in_order=False)
    with broker, pytest.raises(AssertionError, match="did not end") as raised:
        broker.wait(0.05)
    assert "Current thread" in str(raised.value)
