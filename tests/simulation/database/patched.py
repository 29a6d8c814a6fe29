"""Replaces the modules with which the product waits and connects, while worlds run."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from amqpbroker.server import database as server_database
from amqpbroker.store.database import members, renewing, reporting, session, sessions
from tests.simulation.database import threading_module
from tests.simulation.database.broker import BrokerProcess
from tests.simulation.database.connection import Connection
from tests.simulation.database.tasks import current


def _connect(url: str, *, application_name: str, **_: Any) -> Connection:
    process = current().process
    assert isinstance(process, BrokerProcess)
    return process.connect(application_name)


@contextmanager
def simulated() -> Iterator[None]:
    """Run the product on simulated threads, time and connections meanwhile."""
    time = SimpleNamespace(sleep=threading_module.sleep, monotonic=threading_module.monotonic)
    with ExitStack() as patches:
        for module, name, value in (
            (renewing, "threading", threading_module),
            (reporting, "threading", threading_module),
            (members, "threading", threading_module),
            (session, "threading", threading_module),
            (sessions, "threading", threading_module),
            (server_database, "time", time),
            (session, "time", time),
            (session, "TimedConnection", SimpleNamespace(connect=_connect)),
            # libpq reads the URL each time.
            (session, "described", cache(session.described)),
            (session.Session, "_options", lambda _: {}),
        ):
            patches.enter_context(patch.object(module, name, value))
        before = logging.root.manager.disable
        patches.callback(logging.disable, before)
        # Formatting the product's warnings would take more time than anything else.
        logging.disable(logging.CRITICAL)
        yield
