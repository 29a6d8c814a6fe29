"""Controls of a soak's broker: HTTP resources that block its disk, or simulate low memory.

The bound of data that wait for the disk is exceeded only while the disk is slow, and a spill file is written only while
memory is low. Neither happens by itself on a test machine.
"""

import threading
from typing import Any

from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource
from amqpbroker.server import app
from amqpbroker.store.files import Files


class SlowFiles(Files):
    """The real file system, whose syncs wait while `runs` is cleared. Only the journal's thread syncs."""

    def __init__(self, divisor: int) -> None:
        self.parts_at_once = max(4, Files.parts_at_once // divisor)
        self.runs = threading.Event()
        self.runs.set()

    def sync(self, descriptor: int) -> None:
        self.runs.wait()
        super().sync(descriptor)


class Levers:
    """Blocks the disk of a server, and sets its alarms."""

    def __init__(self, server: app.Server, divisor: int) -> None:
        store: Any = server.broker.storage.store
        self._server = server
        self._files = store.log.files = SlowFiles(divisor)
        # For the streams that are declared from now on.
        store.streams._files = self._files

    def resources(self) -> list[Resource]:
        return [
            Resource("/soak/disk", Access.ADMIN, put=self._hold_up, delete=self._go_on),
            Resource("/soak/memory", Access.ADMIN, put=self._short, delete=self._enough),
            Resource("/soak/alarm", Access.ADMIN, put=self._alarm, delete=self._no_alarm),
        ]

    def _hold_up(self, call: Call) -> Answer:
        self._files.runs.clear()
        return NO_CONTENT

    def _go_on(self, call: Call) -> Answer:
        self._files.runs.set()
        return NO_CONTENT

    def _short(self, call: Call) -> Answer:
        self._shortage().set(True)
        return NO_CONTENT

    def _enough(self, call: Call) -> Answer:
        self._shortage().set(False)
        return NO_CONTENT

    def _shortage(self) -> Any:
        return self._server._shortage

    def _alarm(self, call: Call) -> Answer:
        self._server.broker.alarms.set("memory")
        return NO_CONTENT

    def _no_alarm(self, call: Call) -> Answer:
        self._server.broker.alarms.clear("memory")
        return NO_CONTENT
