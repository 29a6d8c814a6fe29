"""The publishers or consumers of one process."""

import time

from amqpbroker.cli.perf.casting import cast
from amqpbroker.cli.perf.client import ABANDON_S
from amqpbroker.cli.perf.plan import Consuming, Plan, Publishing
from amqpbroker.cli.perf.pump import Pump
from amqpbroker.cli.perf.report import Report
from amqpbroker.cli.perf.role import Role, counted, measured
from amqpbroker.cli.perf.worker import Control, Job

#: How long the broker may take to confirm what it was sent, at the end, and to read it.
FINISH_S = 5.0
#: And if it blocks publishers, when it reads nothing more.
BLOCKED_S = 0.1


class Share(Job):
    """Those of these numbers."""

    def __init__(self, plan: Plan, work: Publishing | Consuming, numbers: range) -> None:
        self._plan = plan
        self._work = work
        self._numbers = numbers
        self._roles: list[Role] = []

    def set_up(self) -> str:
        for number in self._numbers:
            self._roles.append(cast(self._plan.access, self._work, number))
        return self._roles[0].link.client.product

    def run(self, control: Control) -> Report:
        started = time.monotonic()
        with Pump(self._roles, control.fileno(), control.is_stopped, lambda: control.tell(self._report())) as pump:
            pump.run(started, self._plan.seconds)
            ended = time.monotonic()
            if isinstance(self._work, Publishing):
                pump.wind_up(FINISH_S)
        report = self._published(ended) if isinstance(self._work, Publishing) else self._consumed(started, ended)
        report.blocked_s = min(report.blocked_s, (report.ended or ended) - started)
        return report

    def _published(self, ended: float) -> Report:
        """What is with the operating system counts as published, so the time ends when the broker has read it."""
        is_read = self._finish()
        report = self._report()
        report.is_read = is_read
        report.ended = time.monotonic() if is_read else ended
        return report

    def _consumed(self, started: float, ended: float) -> Report:
        report = self._report()
        seconds = self._plan.seconds
        timed_out = seconds is not None and ended >= started + seconds
        report.ended = ended if timed_out else max(role.last for role in self._roles) or ended
        self._finish()
        return report

    def abandon(self) -> None:
        for role in self._roles:
            role.link.client.close(ABANDON_S)

    def _finish(self) -> bool:
        """Close everything. Returns whether the broker answered each in time."""
        deadline = time.monotonic() + FINISH_S
        in_time = True
        for role in self._roles:
            left_s = BLOCKED_S if role.blocked else deadline - time.monotonic()
            in_time = role.finish(max(BLOCKED_S, left_s)) and in_time
        return in_time

    def _report(self) -> Report:
        return Report(
            dict(counted(self._roles)),
            measured(self._roles),
            blocked=next((role.blocked for role in self._roles if role.blocked), ""),
            blocked_s=max(role.blocked_s for role in self._roles),
        )
