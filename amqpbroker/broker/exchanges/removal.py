"""The consequences of a deletion: bindings of the deleted object, and auto-delete exchanges without bindings."""

from collections import Counter, deque
from collections.abc import Iterable
from operator import attrgetter

from amqpbroker.broker.exchanges.exchange import Binding, Exchange

_source = attrgetter("source")


class Removal:
    """Bindings and exchanges to remove along with the given bindings, and with the exchange if one is given.

    Removing the last binding that has an auto-delete exchange as its source deletes the exchange, and with it the
    bindings to this exchange, which may be the last ones of other exchanges (rabbit_binding:
    maybe_auto_delete_exchange/4). This class only finds them. by_source: number of removed bindings by source exchange.
    """

    def __init__(self, bindings: Iterable[Binding], exchange: Exchange | None = None) -> None:
        self.bindings: dict[Binding, None] = {}
        self.exchanges: dict[Exchange, None] = {}
        self.by_source: dict[Exchange, int] = {}
        self._line: deque[Iterable[Binding]] = deque([bindings])
        if exchange is not None:
            self.exchanges[exchange] = None
            self._line += [exchange.live_bindings(), exchange.incoming]
        while self._line:
            self._add(self._line.popleft())

    def _add(self, bindings: Iterable[Binding]) -> None:
        found = self.bindings
        fresh = [binding for binding in bindings if binding not in found] if found else list(bindings)
        counts = Counter(map(_source, fresh))
        if any(source.closed for source in counts):
            # Bindings of a deleted exchange are already waiting for the sweep.
            fresh = [binding for binding in fresh if not binding.source.closed]
            counts = Counter(map(_source, fresh))
        found.update(dict.fromkeys(fresh))
        for source, count in counts.items():
            gone = self.by_source[source] = self.by_source.get(source, 0) + count
            if source.auto_delete and gone == source.binding_count and source not in self.exchanges:
                self.exchanges[source] = None
                self._line.append(source.incoming)
