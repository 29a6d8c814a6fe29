"""Definitions that outlive the broker, but survive a power failure only if they were synced."""

from contextlib import contextmanager

from amqpbroker.store.definitions.definitions import (
    BindingDefinition,
    Definitions,
    ExchangeDefinition,
    GlobalParameterDefinition,
    ParameterDefinition,
    PermissionDefinition,
    QueueDefinition,
    StreamOffsetDefinition,
    TopicPermissionDefinition,
    UserDefinition,
    VhostDefinition,
)

#: Kind -> number of its first fields that are the key.
KEYS = {
    VhostDefinition: 1,
    UserDefinition: 1,
    PermissionDefinition: 2,
    TopicPermissionDefinition: 3,
    ExchangeDefinition: 2,
    QueueDefinition: 2,
    ParameterDefinition: 3,
    GlobalParameterDefinition: 1,
    BindingDefinition: 6,
    StreamOffsetDefinition: 3,
}


def _vhost_of(definition):
    return getattr(definition, "vhost", None)


class FaultyDefinitions(Definitions):
    """versions: the contents after each transaction since the last sync, beginning with the synced contents.

    may_change: called at the begin and at the commit of each transaction; raises an error to refuse it.
    """

    def __init__(self, versions=None):
        self.may_change = lambda: None
        self.versions = versions or [({}, 0)]
        self._rows, self.last_id = self.versions[-1]
        self._rows = dict(self._rows)
        self._depth = 0
        self._on_change = lambda: None

    @contextmanager
    def transaction(self):
        if not self._depth:
            self.may_change()
        before = dict(self._rows)
        self._depth += 1
        try:
            yield
            if self._depth == 1:
                self.may_change()
        except BaseException:
            self._rows = before
            raise
        finally:
            self._depth -= 1
        if not self._depth:
            self.versions.append((dict(self._rows), self.last_id))
            self._on_change()

    def put(self, *definitions):
        with self.transaction():
            for definition in definitions:
                self._rows.pop(self._key(definition), None)
                self._rows[self._key(definition)] = definition

    def remove(self, *definitions):
        with self.transaction():
            for definition in definitions:
                self._rows.pop(self._key(definition), None)

    def remove_bindings(self, vhost, is_exchange, name):
        ended = {(is_exchange, name)} | ({name} if is_exchange else set())
        with self.transaction():
            for each in self.all(BindingDefinition):
                if each.vhost == vhost and ended & {(each.to_exchange, each.destination), each.source}:
                    self.remove(each)

    def remove_vhost(self, name):
        with self.transaction():
            for definition in list(self._rows.values()):
                if name == (definition.name if type(definition) is VhostDefinition else _vhost_of(definition)):
                    self.remove(definition)

    @staticmethod
    def _key(definition):
        return type(definition), *definition[: KEYS[type(definition)]]

    def all(self, kind):
        return [definition for key, definition in self._rows.items() if key[0] is kind]

    def sync(self):
        del self.versions[:-1]

    def close(self):
        pass

    # --- crashes
    # --------------------------------------------------------------------------------------------------------

    def killed(self) -> "FaultyDefinitions":
        """Return the definitions that the next process finds."""
        return FaultyDefinitions(list(self.versions))

    def after_power_loss(self, chance) -> "FaultyDefinitions":
        """Return the definitions after a power failure that has lost some of the last transactions."""
        return FaultyDefinitions([self.versions[chance.randrange(len(self.versions))]])
