import pytest

from amqpbroker.cli.perf.processes import Processes, Report, nobody, supervise
from amqpbroker.cli.perf.progress import Progress
from amqpbroker.cli.perf.throughput import IDLE_S, Superfluous
from amqpbroker.cli.signals import Interrupt


class Worker:
    def __init__(self, count=0):
        self.last = Report({"published": 0, "consumed": count}, at=0.0)
        self.is_over = False


class Scripted(Processes):
    """Fake processes that report as the script says; each call of listen takes a tenth of a second."""

    def __init__(self, clock, script):
        super().__init__([], Interrupt())
        self.workers = [Worker(), Worker()]
        self._clock = clock
        self._script = list(script)

    def start(self):
        self.started = self._clock[0]
        for worker in self.workers:
            worker.last.at = self.started

    def stop(self, workers=None):
        pass

    def receive(self, timeout_s):
        self._clock[0] = round(self._clock[0] + timeout_s, 1)
        while self._script and self._script[0][0] <= self._clock[0]:
            _, number, report = self._script.pop(0)
            self.workers[number].last = report
            self.workers[number].is_over = report.ended is not None


class Shown(Progress):
    def __init__(self):
        self.lines = []
        self.notes = []

    def show(self, snapshot):
        self.lines.append((round(snapshot.elapsed_s, 1), str(snapshot)))

    def note(self, text):
        self.notes.append(text)


def report(at, count, **more):
    return Report({"published": count}, at=at, **more)


def supervised(monkeypatch, script, **how):
    clock, shown = [100.0], Shown()
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    processes = Scripted(clock, script)
    supervise(processes, Interrupt(), shown, ["published"], nobody, **how)
    return shown


ENDS = [(102.95, 0, report(102.95, 2500, ended=102.9)), (102.95, 1, report(102.95, 900, ended=102.9))]


def test_rates_are_over_the_time_between_reports(monkeypatch):
    """Rates do not depend on the delay of reports: 500 in 0.25 s, and 300 in 0.5 s."""
    script = [
        (100.3, 0, report(100.25, 500)),
        (100.6, 1, report(100.5, 300)),
        (101.8, 0, report(101.75, 2000)),
        *ENDS,
    ]
    shown = supervised(monkeypatch, script)
    assert shown.lines[0] == (1.0, "published 2,600/s")
    assert shown.lines[1] == (2.0, "published 1,000/s")


def test_progress_is_shown_at_the_given_interval(monkeypatch):
    shown = supervised(monkeypatch, [(100.2, 0, report(100.2, 100)), *ENDS], interval_s=0.5)
    assert shown.lines[0] == (0.5, "published 500/s")


def test_blocking_is_noted_once_and_shown_while_it_lasts(monkeypatch):
    script = [
        (100.3, 0, report(100.2, 100, blocked="low on memory")),
        (101.2, 0, report(101.2, 100)),
        (102.0, 0, report(102.0, 100)),
        *ENDS,
    ]
    shown = supervised(monkeypatch, script)
    assert shown.notes == ["the broker blocks publishers: low on memory", "the broker takes publishes again"]
    texts = [text for _, text in shown.lines]
    assert texts[:2] == ["published 500/s  blocked: low on memory", "published 0/s"]


def superfluous(publishers, consumers, **given):
    processes = Processes([], Interrupt())
    processes.workers = [*publishers, *consumers]
    nothing = {"pmessages": None, "cmessages": None, "exit_when": None, "consumer_rate": None}
    return Superfluous(processes, len(publishers), nothing | given)


def test_consumers_end_when_publishers_are_done_and_no_message_arrives():
    publisher, consumer = Worker(), Worker(5)
    says = superfluous([publisher], [consumer])
    assert says(100.0) == says(200.0) == ()
    publisher.is_over = True
    assert says(200.0 + IDLE_S) == ()
    consumer.last.counts["consumed"] = 6
    assert says(201.0) == ()
    assert says(201.0 + IDLE_S + 0.01) == [consumer]


def test_slow_consumer_does_not_count_as_idle():
    consumer = Worker(5)
    says = superfluous([], [consumer], exit_when="idle", consumer_rate=0.5)
    assert says(100.0) == says(102.5) == ()
    assert says(102.8) == [consumer]


def test_without_publishers_consumers_end_only_with_exit_when():
    assert superfluous([], [Worker()])(1000.0) == ()
    says = superfluous([], [consumer := Worker()], exit_when="empty")
    assert says(100.0) == ()
    assert says(100.0 + IDLE_S + 0.01) == [consumer]


@pytest.mark.parametrize(("limit", "ends"), [(None, True), (10, False)])
def test_publishers_without_a_limit_end_with_the_consumers(limit, ends):
    publisher, consumer = Worker(), Worker()
    consumer.is_over = True
    assert superfluous([publisher], [consumer], pmessages=limit, cmessages=7)(100.0) == ([publisher] if ends else ())
