"""A model of a vhost's exchanges, queues and bindings, and of the effect and answer of each operation."""

from typing import NamedTuple

#: Contents of a queue without bindings. PURGED: a purge may be undone when the process ends.
EMPTY, FILLED, PURGED, UNKNOWN = "empty", "filled", "purged", "unknown"

#: Outcomes of operations.
OK = "ok"
CREATED = "created"
SAME = "there already"
ABSENT = "absent"
NOT_FOUND = "not found"
PRECONDITION = "precondition failed"
LOCKED = "locked"
ROUTED = "routed"
RETURNED = "returned"


class Queue(NamedTuple):
    """consumed: it has a consumer. limit: its x-max-length, 0 without one."""

    durable: bool
    exclusive: bool
    auto_delete: bool
    limit: int
    contents: str = EMPTY
    consumed: bool = False


class Exchange(NamedTuple):
    kind: str
    durable: bool
    auto_delete: bool


class Binding(NamedTuple):
    source: str
    to_queue: bool
    destination: str
    key: str


class Topology:
    """State of the definitions. Operations return their outcome and the state after them."""

    def __init__(self, queues: dict[str, Queue], exchanges: dict[str, Exchange], bindings: dict[Binding, None]) -> None:
        self.queues = queues
        self.exchanges = exchanges
        self.bindings = bindings

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Topology):
            return NotImplemented
        mine = (self.queues, self.exchanges, self.bindings)
        return mine == (other.queues, other.exchanges, other.bindings)

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> "Topology":
        return Topology(dict(self.queues), dict(self.exchanges), dict(self.bindings))

    # --- operations ---------------------------------------------------------------------------------------------------

    def declare_queue(self, name: str, wanted: Queue, by_owner: bool) -> tuple[str, "Topology"]:
        """Declare a queue. by_owner: by the connection that has all exclusive queues."""
        there = self.queues.get(name)
        if there is None:
            after = self.copy()
            after.queues[name] = wanted
            return CREATED, after
        if (there.exclusive and not by_owner) or there.exclusive != wanted.exclusive:
            return LOCKED, self
        same = (there.durable, there.auto_delete, there.limit) == (wanted.durable, wanted.auto_delete, wanted.limit)
        return SAME if same else PRECONDITION, self

    def check_queue(self, name: str) -> tuple[str, "Topology"]:
        return OK if name in self.queues else NOT_FOUND, self

    def delete_queue(self, name: str, if_unused: bool, if_empty: bool, by_owner: bool) -> tuple[str, "Topology"]:
        there = self.queues.get(name)
        if there is None:
            return ABSENT, self
        if there.exclusive and not by_owner:
            return LOCKED, self
        if (if_unused and there.consumed) or (if_empty and there.contents == FILLED):
            return PRECONDITION, self
        return OK, self.without_queues([name])

    def fill(self, name: str) -> tuple[str, "Topology"]:
        """Publish a message to the queue."""
        return (ROUTED, self._with_queue(name, contents=FILLED)) if name in self.queues else (RETURNED, self)

    def purge(self, name: str, by_owner: bool) -> tuple[str, "Topology"]:
        there = self.queues.get(name)
        if there is None:
            return NOT_FOUND, self
        if there.exclusive and not by_owner:
            return LOCKED, self
        return OK, self._with_queue(name, contents=EMPTY if there.contents == EMPTY else PURGED)

    def consume(self, name: str) -> tuple[str, "Topology"]:
        if name not in self.queues:
            return NOT_FOUND, self
        return OK, self._with_queue(name, consumed=True)

    def cancel(self, name: str) -> tuple[str, "Topology"]:
        there = self.queues.get(name)
        if there is None or not there.consumed:
            return OK, self
        return OK, self.without_queues([name]) if there.auto_delete else self._with_queue(name, consumed=False)

    def declare_exchange(self, name: str, wanted: Exchange) -> tuple[str, "Topology"]:
        there = self.exchanges.get(name)
        if there is None:
            after = self.copy()
            after.exchanges[name] = wanted
            return CREATED, after
        return SAME if there == wanted else PRECONDITION, self

    def check_exchange(self, name: str) -> tuple[str, "Topology"]:
        return OK if name in self.exchanges else NOT_FOUND, self

    def delete_exchange(self, name: str, if_unused: bool) -> tuple[str, "Topology"]:
        if name not in self.exchanges:
            return ABSENT, self
        if if_unused and any(binding.source == name for binding in self.bindings):
            return PRECONDITION, self
        after = self.copy()
        after._remove_exchange(name)
        return OK, after

    def bind(self, binding: Binding, by_owner: bool) -> tuple[str, "Topology"]:
        if not self._has_ends(binding):
            return NOT_FOUND, self
        if binding.to_queue and self.queues[binding.destination].exclusive and not by_owner:
            return LOCKED, self
        after = self.copy()
        after.bindings.setdefault(binding)
        return OK, after

    def unbind(self, binding: Binding, by_owner: bool) -> tuple[str, "Topology"]:
        if binding not in self.bindings:
            return ABSENT, self
        if binding.to_queue and self.queues[binding.destination].exclusive and not by_owner:
            return LOCKED, self
        after = self.copy()
        after._remove_bindings([binding])
        return OK, after

    def publish(self, exchange: str, key: str) -> tuple[str | None, "Topology"]:
        """Return whether a message is routed; None if the types of the exchanges do not determine that."""
        if exchange not in self.exchanges:
            return NOT_FOUND, self
        line, seen, routed = [exchange], {exchange: None}, False
        for source in line:
            kind = self.exchanges[source].kind
            if kind not in ("direct", "fanout", "topic"):
                return None, self
            for binding in self.bindings:
                if binding.source != source or not _matches(kind, binding.key, key):
                    continue
                if binding.to_queue:
                    routed = True
                elif binding.destination not in seen:
                    seen[binding.destination] = None
                    line.append(binding.destination)
        return ROUTED if routed else RETURNED, self

    # --- events -------------------------------------------------------------------------------------------------------

    def outlived(self, is_old: bool) -> "Topology":
        """Return the state after the end of the broker's process. is_old: a power failure undid later changes."""
        after = self.copy()
        for name in [name for name, queue in self.queues.items() if not queue.durable]:
            del after.queues[name]
        for name in [name for name, exchange in self.exchanges.items() if not exchange.durable]:
            del after.exchanges[name]
        for binding in self.bindings:
            if not after._has_ends(binding):
                del after.bindings[binding]
        for name, queue in after.queues.items():
            uncertain = queue.contents == PURGED or (is_old and queue.contents == FILLED)
            after.queues[name] = queue._replace(consumed=False, contents=UNKNOWN if uncertain else queue.contents)
        return after

    def disconnected(self) -> "Topology":
        """Return the state after the end of the connection that has all exclusive queues and all consumers."""
        gone = [name for name, each in self.queues.items() if each.exclusive or (each.auto_delete and each.consumed)]
        after = self.without_queues(gone)
        for name, queue in after.queues.items():
            after.queues[name] = queue._replace(consumed=False)
        return after

    def without_queues(self, names: list[str]) -> "Topology":
        """Remove queues with their bindings, which may delete auto-delete exchanges."""
        after = self.copy()
        for name in names:
            del after.queues[name]
            after._remove_bindings([each for each in after.bindings if each.to_queue and each.destination == name])
        return after

    # ----------------------------------------------------------------------------------------------------------------

    def _has_ends(self, binding: Binding) -> bool:
        there = self.queues if binding.to_queue else self.exchanges
        return binding.source in self.exchanges and binding.destination in there

    def _with_queue(self, name: str, **changes: object) -> "Topology":
        after = self.copy()
        after.queues[name] = after.queues[name]._replace(**changes)  # type: ignore[arg-type]
        return after

    def _remove_exchange(self, name: str) -> None:
        del self.exchanges[name]
        self._remove_bindings(
            [each for each in self.bindings if each.source == name or (not each.to_queue and each.destination == name)]
        )

    def _remove_bindings(self, bindings: list[Binding]) -> None:
        """Remove bindings. The last binding of an auto-delete exchange deletes the exchange."""
        for binding in bindings:
            self.bindings.pop(binding, None)
        for binding in bindings:
            source = self.exchanges.get(binding.source)
            if (
                source is not None
                and source.auto_delete
                and all(each.source != binding.source for each in self.bindings)
            ):
                self._remove_exchange(binding.source)


def _matches(kind: str, binding_key: str, key: str) -> bool:
    return kind == "fanout" or binding_key == key or (kind == "topic" and binding_key == "#")
