"""Definitions that several brokers share: one of them writes them, and the others follow it."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

from amqpbroker import errors
from amqpbroker.store.definitions.definitions import D, Definition, Definitions, MemoryDefinitions, VhostDefinition

#: Ignores changes that are stored already.
_STORED: Final = MemoryDefinitions()


class Changing(Protocol):
    """Told of each change that this broker makes itself."""

    def changed(self, definition: Definition) -> None:
        """Record a definition that is new or changed."""

    def removed(self, definition: Definition) -> None:
        """Record a removed definition. A vhost stands for all definitions that went with it."""


class FollowedDefinitions(Definitions):
    """Passes changes on to the storage while this broker writes it, and refuses them otherwise."""

    def __init__(self, found: Mapping[type[Any], list[Any]], changing: Changing | None = None) -> None:
        """found: the definitions when this broker started, by kind. changing: told of changes that are not followed."""
        super().__init__()
        self._changing = changing
        self._found = found
        self._written: Definitions | None = None

    def write_to(self, definitions: Definitions | None) -> None:
        """Pass changes on from now on; None: another broker writes."""
        self._written = definitions

    @property
    def is_writing(self) -> bool:
        """Return whether this broker writes the definitions."""
        return self._written is not None

    @contextmanager
    def following(self) -> Iterator[None]:
        """Store nothing meanwhile, since the changes were stored by another broker."""
        before, self._written = self._written, _STORED
        try:
            yield
        finally:
            self._written = before

    def _writable(self) -> Definitions:
        """Raises AmqpError 506."""
        if self._written is None:
            raise errors.not_stored("another broker writes the definitions at the moment; repeat the request")
        return self._written

    def new_id(self) -> int:
        return self._writable().new_id()

    def transaction(self) -> AbstractContextManager[None]:
        return self._writable().transaction()

    def put(self, *definitions: Definition) -> None:
        self._writable().put(*definitions)
        if self._changing is not None and self._written is not _STORED:
            for definition in definitions:
                self._changing.changed(definition)

    def remove(self, *definitions: Definition) -> None:
        self._writable().remove(*definitions)
        self._removed(*definitions)

    def remove_bindings(self, vhost: str, is_exchange: bool, name: str) -> None:
        self._writable().remove_bindings(vhost, is_exchange, name)

    def remove_vhost(self, name: str) -> None:
        self._writable().remove_vhost(name)
        self._removed(VhostDefinition(name))

    def _removed(self, *definitions: Definition) -> None:
        if self._changing is not None and self._written is not _STORED:
            for definition in definitions:
                self._changing.removed(definition)

    def all(self, kind: type[D]) -> list[D]:
        """Return the definitions of one kind that were found when this broker started."""
        return list(self._found.get(kind, ()))

    def sync(self) -> None:
        if self._written is not None:
            self._written.sync()

    def close(self) -> None:
        pass
