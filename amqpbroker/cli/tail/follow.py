"""Copies messages from a source to an output, until one of them ends."""

import contextlib
import os
import select
import signal
import sys
import time
from typing import Any

import click

from amqpbroker.cli.ctl.failure import ApiError, CtlError
from amqpbroker.cli.signals import ending
from amqpbroker.cli.tail.output import Output
from amqpbroker.cli.tail.source import Source

#: Pause in seconds if there are no messages.
IDLE_S = 0.1


def follow(source: Source, output: Output, count: int | None) -> None:
    """Show messages until there were `count`, until Ctrl-C, or until the reader of the output or the broker ends.

    Raises CtlError if the broker ends, or takes the queue away.
    """
    try:
        try:
            source.open()
            click.echo(f"Following {source.about}; press Ctrl-C to stop.", err=True)
            _follow(source, output, count)
        finally:
            _close(source)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Python flushes the output at its end, when nobody reads it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _follow(source: Source, output: Output, count: int | None) -> None:
    left = count
    while left != 0:
        try:
            messages, more = source.get()
        except ApiError as error:
            if error.http_status == 404:
                raise CtlError("The vhost, or the queue that tail reads from, was deleted.") from None
            raise
        for message in messages[:left]:
            output.show(message)
        sys.stdout.flush()
        if left is not None:
            left -= min(left, len(messages))
        if not more and left != 0:
            if _is_closed():
                raise BrokenPipeError
            time.sleep(IDLE_S)


def _is_closed() -> bool:
    """Return whether standard output is a pipe without a reader."""
    unix: Any = select
    if not hasattr(unix, "poll"):  # Windows
        return False
    poll = unix.poll()
    try:
        poll.register(sys.stdout.fileno(), unix.POLLERR)
    except (OSError, ValueError):
        return False
    return any(events & unix.POLLERR for _, events in poll.poll(0))


def _close(source: Source) -> None:
    """Delete the queue of the tail, if the broker is still there. Further signals do not interrupt this."""
    for number in ending():
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(CtlError):
        source.close()
