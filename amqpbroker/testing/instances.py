"""Instances of a broker with the testing API: each restart replaces one by another."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from amqpbroker.config import Config
from amqpbroker.server.app import Server
from amqpbroker.server.data import Data
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.retained import KeptDefinitions

if TYPE_CHECKING:
    from amqpbroker.management.resource import Resource


def add_routes(instance: Instance) -> None:
    """Add the testing API to the instance's management API."""
    instance.server.more_resources = partial(_resources, instance)


def _resources(instance: Instance) -> "list[Resource]":
    # Imported here, because only a management API needs it.
    from amqpbroker.testing.routes import ROUTES

    return [route.resource(instance) for route in ROUTES]


class Instances:
    """Makes servers with the testing API for `server.app.run`; each replaces the one before."""

    def __init__(self) -> None:
        self._definitions = KeptDefinitions()
        self._before: Instance | None = None

    def __call__(
        self, config: Config, loop: asyncio.AbstractEventLoop, storage: Data, settings: Mapping[str, str]
    ) -> Server:
        if config.in_memory:
            storage = Data(self._definitions)
        faults = None if self._before is None else self._before.faults
        self._before = Instance(config, loop, storage, settings, faults=faults, before=self._before)
        add_routes(self._before)
        return self._before.server
