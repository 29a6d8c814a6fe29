"""The thread that reports a broker, with a table that fails on request."""

import threading

from amqpbroker.cluster.leadership.reporting import REPORTS, Reporting
from amqpbroker.store.log import UnwrittenError


class Table:
    """errors: raised by the next reports. lags: what was reported. besides: what was called with each report.

    reported: set with each report that succeeds.
    """

    lease_s = 0.03

    def __init__(self, *errors):
        self.errors = list(errors)
        self.lags = []
        self.besides = set()
        self.reported = threading.Semaphore(0)

    def report(self, lag_s, beside):
        if self.errors:
            raise self.errors.pop(0)
        self.lags.append(lag_s)
        self.besides.add(beside)
        self.reported.release()


def test_a_broker_is_reported_until_the_end():
    table = Table()
    reporting = Reporting(table, iter(range(1_000_000)).__next__, print)
    for _ in range(2 * REPORTS):
        assert table.reported.acquire(timeout=30)
    reporting.close()
    count = len(table.lags)
    assert table.lags == list(range(count))
    assert table.besides == {print}
    assert not threading.Event().wait(2 * table.lease_s)
    assert len(table.lags) == count


def test_a_broker_is_reported_again_after_an_error():
    table = Table(UnwrittenError(5, "gone"), UnwrittenError(5, "gone"))
    reporting = Reporting(table, lambda: None, print)
    assert table.reported.acquire(timeout=30)
    reporting.close()
    assert table.errors == []
