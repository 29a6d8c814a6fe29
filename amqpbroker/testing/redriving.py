"""Redrives of dead letter queues in a test."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amqpbroker.broker.redrive.options import REASONS, RedriveFilter, RedriveOptions, Scalar
from amqpbroker.broker.redrive.redrive import COMPLETED, RUNNING
from amqpbroker.broker.redrive.redrives import RedriveRunsError
from amqpbroker.broker.users.permissions import Grant, Permissions
from amqpbroker.testing.checks import at_least, check_text, check_timeout
from amqpbroker.testing.inspector import POLL_S
from amqpbroker.testing.instance import Instance


@dataclass(frozen=True, slots=True)
class Redriven:
    """The result of a redrive.

    - `moved`: number of messages that were moved.
    - `failed`: number of messages that could not be moved.
    - `skipped`: number of messages that the conditions did not accept.
    - `last_failure`: why the last message that failed stayed; empty if none failed.
    """

    moved: int
    failed: int
    skipped: int
    last_failure: str


def options_of(
    destination: str | None, reason: str | None, headers: Mapping[str, Scalar] | None, limit: int | None
) -> RedriveOptions:
    """Return the options of a redrive. Raises ValueError for an invalid one."""
    check_text("destination", destination, optional=True)
    check_text("reason", reason, optional=True)
    if reason is not None and reason not in REASONS:
        raise ValueError(f"reason = {reason!r}: this must be one of {', '.join(REASONS)}")
    if headers is not None and not isinstance(headers, Mapping):
        raise ValueError(f"headers = {headers!r}: this must be a dict of names and values, such as {{'tenant': 'a'}}")
    for name, value in (headers or {}).items():
        if value is not None and not isinstance(value, str | int | float):
            raise ValueError(f"headers[{name!r}] = {value!r}: this must be a str, a number, a bool or None")
    if limit is not None:
        at_least("limit", limit, 1)
    chosen = RedriveFilter(reason=reason, headers=dict(headers or {}))
    return RedriveOptions(destination=destination, limit=-1 if limit is None else limit, filter=chosen)


async def redrive(
    instance: Instance, queue: str, vhost: str | None, options: RedriveOptions, timeout_s: Any
) -> Redriven:
    """Redrive a queue, and wait for the end, on the thread of the broker's loop. See `Broker.redrive`."""
    check_timeout(timeout_s)
    name, found = instance.inspector.need(queue, vhost)
    host = instance.broker.vhosts[name]
    everything = Permissions("", name)
    everything.grant(Grant(".*", ".*", ".*"))
    try:
        task = host.redrives.start(host, found, options, lambda: everything, "test")
    except RedriveRunsError as error:
        raise AssertionError(str(error)) from None
    deadline = time.monotonic() + timeout_s
    while task.state == RUNNING:
        if time.monotonic() > deadline:
            task.cancel()
            raise AssertionError(
                f"the redrive of queue {queue!r} did not end within {timeout_s:g} seconds: {task.moved} messages were "
                f"moved, {task.left} are left"
            )
        await asyncio.sleep(POLL_S)
    if task.state != COMPLETED:
        raise AssertionError(f"the redrive of queue {queue!r} is {task.state}: {task.reason}")
    await instance.time_travel.quiesce()
    return Redriven(task.moved, task.failed, task.skipped, task.problem)
