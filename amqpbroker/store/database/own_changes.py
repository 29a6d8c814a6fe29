"""Changes of definitions that a broker has made itself, until it has read them in the database."""

from typing import Any

from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.database.definitions_follower import Changes, Found
from amqpbroker.store.definitions.definitions import KEYS, Definition, VhostDefinition


class OwnChanges:
    """The last change of each definition by this broker, which another broker may have undone before it was read.

    Then a follower of the database sees no change, and the broker would keep its own one in memory.
    """

    def __init__(self) -> None:
        self._epoch: int = 0
        #: Kind and key -> the definition, None for a removed one, and the epoch in which it was changed.
        self._changed: dict[tuple[type[Any], tuple[Any, ...]], tuple[Definition | None, int]] = {}

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

    def _record(self, definition: Definition, now: Definition | None) -> None:
        kind = type(definition)
        self._changed[kind, definition[: KEYS[kind]]] = now, self._epoch

    @property
    def are_read(self) -> bool:
        """Return whether the broker has read all of them in the database."""
        return not self._changed

    def compare(self, found: Found, epoch: int) -> Changes:
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
                if stored is None:
                    assert now is not None
                    removed.append(now)
                    continue
                put.append(stored)
                if isinstance(stored, VhostDefinition):
                    # They went with it.
                    put += [each for others in found.values() for each in others.values() if _is_of(each, stored.name)]
        return Changes(put, removed)


def _is_of(definition: Definition, vhost: str) -> bool:
    """Return whether a definition is part of a vhost."""
    return getattr(definition, "vhost", None) == vhost
