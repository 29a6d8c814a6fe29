"""A stand-in for the product's `Broker`: it knows all vhosts, serves those that are opened, and has no connections."""

import random
from types import SimpleNamespace
from typing import TYPE_CHECKING

from amqpbroker.broker.storage import Storage
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.store.definitions.definitions import Definitions, VhostDefinition
from amqpbroker.store.recovered import Recovered
from tests.simulation.database.event_loop import Loop
from tests.simulation.database.vhost import Vhost, Watching

if TYPE_CHECKING:
    from tests.simulation.database.broker import Broker


class Domain:
    """The vhosts of one broker. The names of its methods are those of the product's `Broker`."""

    def __init__(
        self,
        config: Config,
        definitions: Definitions,
        loop: Loop,
        clock: Clock,
        broker: "Broker",
        chance: random.Random,
        checks: Watching,
    ) -> None:
        self.definitions = definitions
        self.defined_vhosts = {each.name: each for each in definitions.all(VhostDefinition)}
        self.vhosts: dict[str, Vhost] = {}
        self.storages: list[Storage] = []
        self.written_definitions: Storage | None = None
        self.shovels = SimpleNamespace(finish_by=lambda _: None)
        self.config = config
        self.clock = clock
        self._loop = loop
        self._broker = broker
        self._chance = chance
        self._checks = checks

    @property
    def sessions(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(vhost=vhost) for vhost in self.vhosts.values() if vhost.has_clients]

    # --- vhosts of this broker ----------------------------------------------------------------------------------------

    def open_vhost(self, definition: VhostDefinition, storage: Storage, found: Recovered) -> int:
        vhost = Vhost(definition.name, storage, self._broker, self._chance)
        self.storages.append(storage)
        self.vhosts[definition.name] = vhost
        try:
            count = vhost.open(found, self.clock, self.config.bounds)
            self._checks.recovered(vhost)
        except BaseException:
            self._discard(definition.name)
            raise
        self._loop.create_task(vhost.publish(self._checks))
        return count

    def close_vhost(self, name: str) -> None:
        self._discard(name)

    def _discard(self, name: str) -> None:
        storage = self.vhosts.pop(name).storage
        storage.close()
        self.storages.remove(storage)

    def open_definitions(self, storage: Storage) -> None:
        self.storages.append(storage)
        self.written_definitions = storage

    def close_definitions(self, storage: Storage) -> None:
        self.written_definitions = None
        storage.close()
        self.storages.remove(storage)

    # --- definitions --------------------------------------------------------------------------------------------------

    def add_vhost(self, name: str) -> None:
        """Create a vhost. Raises AmqpError 506."""
        definition = VhostDefinition(name)
        self.definitions.put(definition)
        self.put_vhost(definition)

    def put_vhost(self, definition: VhostDefinition) -> None:
        self.defined_vhosts[definition.name] = definition

    def remove_vhost(self, name: str) -> None:
        """Delete a vhost. Raises LookupError, AmqpError 506."""
        if name not in self.defined_vhosts:
            raise LookupError(name)
        self.definitions.remove_vhost(name)
        del self.defined_vhosts[name]
        if name in self.vhosts:
            self.vhosts[name].storage.store.abandon()
            self._discard(name)

    def sync(self) -> None:
        for storage in self.storages:
            storage.store.sync()
