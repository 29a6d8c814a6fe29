"""What goes together: the bindings of what is deleted, and auto-delete exchanges with their last binding."""

from collections import deque
from collections.abc import Iterable

from amqpbroker.broker.exchange import Binding, Exchange


class Removal:
    """All that goes when these bindings do, and this exchange if one is given. Found, not yet removed.

    An auto-delete exchange goes with the last binding that has it as its source, and so do the bindings that lead to
    it, which may be the last ones of theirs (rabbit_binding:maybe_auto_delete_exchange/4).
    """

    def __init__(self, bindings: Iterable[Binding], exchange: Exchange | None = None) -> None:
        self.bindings: dict[Binding, None] = {}
        self.exchanges: dict[Exchange, None] = {}
        line = deque(bindings)
        if exchange is not None:
            self.exchanges[exchange] = None
            line += [*exchange.bindings.values(), *exchange.incoming]
        left: dict[Exchange, int] = {}
        while line:
            binding = line.popleft()
            if binding in self.bindings:
                continue
            self.bindings[binding] = None
            source = binding.source
            left[source] = left.get(source, len(source.bindings)) - 1
            if source.auto_delete and not left[source] and source not in self.exchanges:
                self.exchanges[source] = None
                line += source.incoming
