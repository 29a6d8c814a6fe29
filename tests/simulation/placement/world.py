"""All brokers of one database through several events, and figures of each event."""

import statistics
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tests.simulation.chance import Chance
from tests.simulation.placement.broker import Costs, Process
from tests.simulation.placement.events import Events
from tests.simulation.placement.table import Table

#: Time without a change after which an event is over: longer than a slow read and the interval of moves together.
REST_S = 12.0
#: Time within which brokers are at rest again, or the simulation fails.
PATIENCE_S = 3_600.0
#: Time that a broker is away when it is restarted.
RESTART_S = 3.0


class TwoLeadersError(AssertionError):
    """Two brokers lead one vhost, or one of them was stopped too late."""


class Figures(NamedTuple):
    """Figures of an event.

    before, after: vhosts of each running broker. taken: number of vhosts that were without a leader, by the broker that
    took them. without_s: times without a leader. moved: vhosts that were handed over to have as many on each broker.
    moving_s: times without a leader of these. again: those of them that were handed over more than once. back: those
    that came back to a broker that had handed them over. took_s: time until the last change. queries, queries_of_each:
    queries a second by all brokers, and if there were one for each vhost.
    """

    name: str
    before: list[int]
    after: list[int]
    taken: Counter[str]
    without_s: list[float]
    moved: int
    moving_s: list[float]
    again: int
    back: int
    took_s: float
    queries: float
    queries_of_each: float


class World:
    """Brokers and a database."""

    def __init__(self, vhosts: int, brokers: int, costs: Costs, seed: int, with_clients: float = 0.5) -> None:
        """with_clients: share of the vhosts that have clients, which do not move by themselves."""
        chance = self._chance = Chance(seed)
        names = [f"tenant-{number}" for number in range(vhosts)]
        self.events = Events()
        self.costs = costs
        self.table = Table(
            names, [name for name in names if chance.random() < with_clients], costs.lease_s, costs.at_once
        )
        self.brokers: dict[str, Process] = {}
        #: The broker that leads each vhost.
        self._leader: dict[str, Process] = {}
        self.identities = [f"amqpbroker@10.0.{number // 200}.{number % 200}:5672" for number in range(brokers)]
        self._changed_s = 0.0
        self._queries = self._queries_of_each = 0
        self._lost_s: dict[str, float] = {}
        self._without_s: list[float] = []
        self._taken: Counter[str] = Counter()
        self._moving_since_s: dict[str, float] = {}
        self._moving_s: list[float] = []
        #: The brokers that have handed over each vhost.
        self._handed_over: dict[str, list[str]] = {}
        self._back: set[str] = set()

    def place(self) -> None:
        """Start all brokers, and let each lead at once the vhosts that it would take as new ones."""
        self.start(*self.identities)
        for identity, names in self.table.read(self.events.now_s).takers.items():
            for name in names:
                self.brokers[identity].lead(name)

    # --- what brokers do ----------------------------------------------------------------------------------------------

    def queried(self, of_each_vhost: int) -> None:
        self._queries += 1
        self._queries_of_each += of_each_vhost

    def leads(self, broker: Process, name: str) -> None:
        last = self._leader.get(name)
        if last is not None and last is not broker and name in last.leading:
            if last.acts:
                raise TwoLeadersError(f"{broker.identity} and {last.identity} lead {name} at {self.events.now_s:.3f} s")
            if self.table.accepts(name, last.leading[name]):
                raise TwoLeadersError(f"{last.identity} hangs and may write {name} at {self.events.now_s:.3f} s")
        self._leader[name] = broker
        self._changed_s = self.events.now_s
        if broker.identity in self._handed_over.get(name, ()):
            self._back.add(name)
        if name in self._lost_s:
            self._without_s.append(self.events.now_s - self._lost_s.pop(name))
            self._taken[broker.identity] += 1
        elif name in self._moving_since_s:
            self._moving_s.append(self.events.now_s - self._moving_since_s.pop(name))

    def leads_no_more(self, broker: Process, name: str, successor: str) -> None:
        self._changed_s = self.events.now_s
        if successor:
            self._handed_over.setdefault(name, []).append(broker.identity)
            self._moving_since_s[name] = self.events.now_s
        else:
            self._lost_s[name] = self.events.now_s

    # --- events -------------------------------------------------------------------------------------------------------

    def start(self, *identities: str) -> None:
        for identity in identities:
            self.brokers[identity] = Process(identity, self.table, self.events, self.costs, self, self._chance)

    def some(self, count: int) -> list[Process]:
        return self._chance.sample(sorted(self.brokers.values(), key=lambda broker: broker.identity), count)

    def lose(self, broker: Process, connections_stay: bool = False) -> None:
        """End a broker without a word."""
        self._lost_s |= dict.fromkeys(broker.leading, self.events.now_s)
        broker.die(connections_stay)
        del self.brokers[broker.identity]

    def hang(self, broker: Process, for_s: float) -> None:
        """Stop a broker for some time: its vhosts count as lost from now on if another broker takes them."""
        held = dict(broker.leading)
        self._lost_s |= dict.fromkeys(held, self.events.now_s)
        broker.is_hung = True

        def wake() -> None:
            for name, epoch in held.items():
                if self.table.accepts(name, epoch):
                    self._lost_s.pop(name, None)
                elif self._leader[name] is broker:
                    # Its next leader is not ready yet.
                    del self._leader[name]
            broker.wake()

        self.events.after(for_s, wake)

    def restart(self, broker: Process) -> None:
        """Stop a broker in order, and start it again."""
        self.stop(broker)
        self.events.after(RESTART_S, lambda: self.start(broker.identity))

    def stop(self, broker: Process) -> None:
        """Stop a broker in order."""
        broker.stop()
        del self.brokers[broker.identity]

    # --- figures ------------------------------------------------------------------------------------------------------

    def led(self) -> bool:
        """Return whether each vhost has a leader that acts."""
        return all(
            (leader := self._leader.get(name)) is not None and leader.acts and name in leader.leading
            for name in self.table.rows
        )

    def counts(self) -> list[int]:
        return sorted(len(broker.leading) for broker in self.brokers.values())

    def event(self, name: str, cause: Callable[[], None], further: Callable[[], bool] = lambda: False) -> Figures:
        """Cause something and wait until nothing changes any more; return its figures.

        further: called when nothing changes any more; it causes more, and returns whether it has.
        """
        before, start_s = self.counts(), self.events.now_s
        self._queries = self._queries_of_each = 0
        self._without_s, self._taken, self._handed_over, self._back = [], Counter(), {}, set()
        self._moving_since_s, self._moving_s = {}, []
        self._changed_s = start_s
        cause()
        self._wait()
        while further():
            self._wait()
        took_s = self._changed_s - start_s
        passed_s = self.events.now_s - start_s
        handed_over = self._handed_over.values()
        return Figures(
            name,
            before,
            self.counts(),
            self._taken,
            self._without_s,
            len(self._handed_over),
            self._moving_s,
            sum(len(brokers) > 1 for brokers in handed_over),
            len(self._back),
            took_s,
            self._queries / passed_s,
            self._queries_of_each / passed_s,
        )

    def _wait(self) -> None:
        """Wait until all vhosts are led and nothing has changed for some time."""
        end_s = self.events.now_s + PATIENCE_S
        self._changed_s = self.events.now_s
        while self.events.now_s - self._changed_s < REST_S or not self.led():
            assert self.events.now_s < end_s, f"not at rest after {PATIENCE_S:.0f} s"
            self.events.run_until(self.events.now_s + 1.0)


def shown(counts: list[int]) -> str:
    """Describe numbers by the least, the median and the greatest."""
    return f"{counts[0]}/{statistics.median_low(counts)}/{counts[-1]}" if counts else "-"
