"""The redrives of a vhost: those that run, and the last ones of each queue."""

import logging
import secrets
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.redrive.options import RedriveOptions
from amqpbroker.broker.redrive.redrive import RUNNING, Redrive
from amqpbroker.broker.users.permissions import Permissions

if TYPE_CHECKING:
    from amqpbroker.broker.queues.host import Host

log = logging.getLogger(__name__)

#: Number of tasks of a queue that are remembered, as in Amazon SQS.
KEPT: Final = 10


class RedriveRunsError(Exception):
    """A queue has a redrive that is running, so that no other can start."""


@final
class Redrives:
    """The redrives of one vhost, at most one of each queue at a time. running: number of those that run."""

    def __init__(self, vhost: str) -> None:
        """vhost: its name."""
        self.running = 0
        self._vhost = vhost
        #: Name of the queue -> its tasks, the oldest first. Only the last one may be running.
        self._tasks: dict[str, deque[Redrive]] = {}

    def start(
        self,
        vhost: "Host",
        queue: Queue,
        options: RedriveOptions,
        permissions: Callable[[], Permissions | None],
        user: str,
    ) -> Redrive:
        """Start a redrive of the messages that a queue of the vhost has now. Nothing is moved before this call ends.

        permissions(): returns those of the user in this vhost, None if it has none; called for each slice of the task.
        Raises RedriveRunsError.
        """
        if self.current(queue.name) is not None:
            raise RedriveRunsError(
                f"a redrive of queue '{queue.name}' in vhost '{self._vhost}' is running already; wait until it ends, "
                "or cancel it"
            )
        task = Redrive(secrets.token_hex(8), vhost, queue, options, permissions, self._ended)
        self._tasks.setdefault(queue.name, deque(maxlen=KEPT)).append(task)
        self.running += 1
        vhost.totals.count_redrive()
        log.info(
            "redrive of queue '%s' in vhost '%s' was started by user '%s', for %d messages",
            queue.name,
            self._vhost,
            user,
            task.left,
        )
        return task

    def tasks(self, queue: str) -> list[Redrive]:
        """Return the last tasks of a queue, the newest first."""
        return list(reversed(self._tasks.get(queue, ())))

    def current(self, queue: str) -> Redrive | None:
        """Return the task of a queue that is running."""
        tasks = self._tasks.get(queue)
        return tasks[-1] if tasks and tasks[-1].state == RUNNING else None

    def queue_deleted(self, queue: str) -> None:
        """End the task of a deleted queue, and forget all its tasks."""
        if queue in self._tasks:
            current = self.current(queue)
            if current is not None:
                current.fail(f"queue '{queue}' was deleted")
            del self._tasks[queue]

    def discard(self) -> None:
        """Stop all tasks, because the broker has ended."""
        for tasks in self._tasks.values():
            for task in tasks:
                task.discard()
        self._tasks.clear()
        self.running = 0

    def _ended(self, task: Redrive) -> None:
        self.running -= 1
        log.info(
            "redrive of queue '%s' in vhost '%s' is %s: %d messages moved, %d could not be moved, %d skipped%s",
            task.source,
            self._vhost,
            task.state,
            task.moved,
            task.failed,
            task.skipped,
            f" ({task.reason})" if task.reason else "",
        )
