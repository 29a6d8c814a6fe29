"""Changes of definitions that a broker has made itself, until it has read them in the database."""

from typing import Any, NamedTuple

from amqpbroker.cluster.following.definitions_follower import Found
from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.definitions.definitions import KEYS, Definition, VhostDefinition


class Undone(NamedTuple):
    """Changes that another broker has undone: definitions to put and to remove in memory.

    returned: names of vhosts that were removed in memory, and may still be there. put has all their parts.
    """

    put: list[Definition]
    removed: list[Definition]
    returned: set[str]


class OwnChanges:
    """The last change of each definition by this broker, which another broker may have undone before it was read.

    Then a follower of the database sees no change, and the broker would keep its own one in memory.
    """

    def __init__(self) -> None:
        self._epoch: int = 0
        #: Kind and key -> the definition, None for a removed one, and the epoch in which it was changed.
        self._changed: dict[tuple[type[Any], tuple[Any, ...]], tuple[Definition | None, int]] = {}
        #: Name of a removed vhost -> the epoch in which it was removed, also if it was created again since then: an
        #: equal definition in the database may be that of the earlier vhost.
        self._removed_vhosts: dict[str, int] = {}

    def write_to(self, definitions: DatabaseDefinitions | None) -> None:
        """Record that the next changes are written to these definitions; None: this broker makes none."""
        if definitions is not None:
            self._epoch = definitions.epoch

    def changed(self, definition: Definition) -> None:
        """Record a definition that is new or changed."""
        self._record(definition, definition)

    def removed(self, definition: Definition) -> None:
        """Record a removed definition. A vhost stands for all definitions that went with it."""
        self._record(definition, None)
        if isinstance(definition, VhostDefinition):
            self._removed_vhosts[definition.name] = self._epoch

    def _record(self, definition: Definition, now: Definition | None) -> None:
        kind = type(definition)
        self._changed[kind, definition[: KEYS[kind]]] = now, self._epoch

    @property
    def are_read(self) -> bool:
        """Return whether the broker has read all of them in the database."""
        return not self._changed and not self._removed_vhosts

    def compare(self, found: Found, epoch: int) -> Undone:
        """Return what to change in memory, so that it has no change that is not in the database.

        found: the definitions in the database, as they were read last. epoch: of the leader of their log, as it was
        known before that: no write of an earlier epoch takes effect any more.
        """
        put: list[Definition] = []
        removed: list[Definition] = []
        for place, (now, changed_in) in list(self._changed.items()):
            kind, key = place
            stored = found[kind].get(key) if kind in found else now
            if stored == now:
                del self._changed[place]
            elif changed_in < epoch:
                del self._changed[place]
                if stored is not None:
                    put.append(stored)
                elif now is not None:
                    removed.append(now)
        returned = self._returned(found, epoch)
        if returned:
            # Definitions that were changed since then stay as they are in memory.
            put += [
                definition
                for kind, others in found.items()
                for key, definition in others.items()
                if getattr(definition, "vhost", None) in returned and (kind, key) not in self._changed
            ]
        return Undone(put, removed, returned)

    def _returned(self, found: Found, epoch: int) -> set[str]:
        """Return the names of vhosts whose removal may have been undone; they are returned once."""
        stored = {name for name in self._removed_vhosts if (name,) in found[VhostDefinition]}
        returned = {name for name in stored if self._removed_vhosts[name] < epoch}
        self._removed_vhosts = {name: self._removed_vhosts[name] for name in stored - returned}
        return returned
