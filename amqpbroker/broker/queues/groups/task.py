"""Returning a stopped message group to normal work, in slices."""

import logging
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import Final

from amqpbroker.broker.queues.expiry import Expiry
from amqpbroker.broker.queues.groups.group import Group
from amqpbroker.broker.queues.groups.key import shown_key
from amqpbroker.broker.queues.host import Host
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.clock import Clock, Timer

log = logging.getLogger(__name__)

RUNNING: Final = "RUNNING"
COMPLETED: Final = "COMPLETED"
FAILED: Final = "FAILED"

#: Delay before a task goes on while the store has much to write.
BUSY_MS: Final = 5


class StopError(Exception):
    """The task cannot go on because of dead letters, or of what clients did with them; the text says why."""


class GroupTask(metaclass=ABCMeta):
    """A task that ends with an open group. Until then, the group is stopped.

    Each slice is done in an event loop iteration of its own, and is one operation in the store; so is the whole task if
    it has one slice.

    state: RUNNING, COMPLETED or FAILED. moved: number of messages that are done. reason: why it FAILED. is_conflict: it
    has failed because of a StopError. missing: number of dead letters of the group that were not found.
    """

    def __init__(self, queue: LocalQueue, group: Group, ended: "Callable[[GroupTask, Group], None]") -> None:
        """ended(task, group): called at the end, unless it is stopped."""
        self.state: str = RUNNING
        self.moved: int = 0
        self.reason: str = ""
        self.is_conflict: bool = False
        self.missing: int = 0
        self._group: Group = group
        self._name: str = queue.name
        self._vhost: Host = queue.vhost
        self._clock: Clock = queue.clock
        self._expiry: Expiry = queue.expiry
        self._ended: Callable[[GroupTask, Group], None] = ended
        bounds = queue.vhost.config.bounds
        self._slice_count: int = bounds.slice_count
        self._slice_bytes: int = bounds.slice_bytes
        #: Number of slices.
        self._slices: int = 0
        self._timer: Timer | None = None

    @property
    @abstractmethod
    def left(self) -> int | None:
        """The number of messages that are not done, None while that is not known."""

    @abstractmethod
    def _slice(self) -> None:
        """Do one slice. If it was the last one, set the state. Raises StopError and UnreadableError."""

    def run(self) -> None:
        """Do one slice, and arrange for the next one, if there is one."""
        self._timer = None
        vhost, clock = self._vhost, self._clock
        if self._slices and vhost.store.waiting_bytes > vhost.config.bounds.unwritten_bytes // 2:
            self._timer = clock.after(BUSY_MS, self.run)
            return
        self._slices += 1
        with vhost.dead_letters:
            vhost.store.begin()
            try:
                self._slice()
            except (StopError, UnreadableError) as error:
                self.state = FAILED
                self.reason = str(error)
                self.is_conflict = isinstance(error, StopError)
            finally:
                vhost.store.end()
            if self.state == RUNNING:
                self._timer = clock.after(0, self.run)
                return
            self._log()
            self._ended(self, self._group)
        self._expiry.expire()

    def stop(self, reason: str) -> None:
        """End the task because the queue has ended. Messages that are not done stay where they are."""
        if self.state == RUNNING:
            self.state = FAILED
            self.reason = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _log(self) -> None:
        key = shown_key(self._group.key or b"")
        if self.state == FAILED:
            log.warning(
                "redrive of group '%s' of queue '%s' in vhost '%s' has failed: %s",
                key,
                self._name,
                self._vhost.name,
                self.reason,
            )
        elif self._slices > 1:
            # The request that started it did not wait for its end.
            log.info(
                "redrive of group '%s' of queue '%s' in vhost '%s' is completed: %d messages moved",
                key,
                self._name,
                self._vhost.name,
                self.moved,
            )
