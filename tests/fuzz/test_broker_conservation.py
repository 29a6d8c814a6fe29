"""Several clients at once: every confirmed message is in exactly one place, whatever the clients and sockets do.

Like test_queue_conservation, but from byte to byte: with channels, lost connections, clients that do not read,
transactions, dead letters between queues.
"""

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amqpbroker.broker.counters.stats import summed
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.clock import ManualClock
from amqpbroker.wire.values import Field, Table, longstr
from tests.fuzz.effort import effort
from tests.fuzz.invariants import no_errors_logged
from tests.harness import Cut, Received, Wire, make_broker, random_cut, whole

QUEUES = ("work", "retry", "grave")


@dataclass
class Client:
    """The state of a client on channel 1 of its own connection. held: tag -> body of its unsettled deliveries."""

    wire: Wire
    readable: bool = True
    transactional: bool = False
    consumers: set[str] = field(default_factory=set)
    held: dict[int, bytes] = field(default_factory=dict)
    settled: list[bytes] = field(default_factory=list)
    published: list[bytes] = field(default_factory=list)
    unconfirmed: dict[int, bytes] = field(default_factory=dict)
    numbered: int = 0
    last_tag: int = 0


class Machine(RuleBasedStateMachine):
    @initialize(
        quorum=st.booleans(),
        single=st.booleans(),
        ttl=st.sampled_from([20, 200]),
        length=st.sampled_from([None, None, 5]),
        cut=st.sampled_from([whole, random_cut(3)]),
    )
    def start(self, quorum: bool, single: bool, ttl: int, length: int | None, cut: Cut) -> None:
        self.cut = cut
        self.broker = make_broker()
        self.vhost = self.broker.vhost("/")
        self.clients = [self.client(confirms=True), self.client(confirms=True), self.client(confirms=False)]
        setup = self.clients[0].wire
        work: Table = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("retry")}
        if quorum:
            work |= {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("I", 2)}
        if single:
            work["x-single-active-consumer"] = Field("t", True)
        if length is not None:
            work["x-max-length"] = Field("I", length)
        setup.declare("work", durable=True, arguments=work)
        retry: Table = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("work")}
        setup.declare("retry", arguments={**retry, "x-message-ttl": Field("I", ttl)})
        setup.declare("grave")
        self.count = 0
        self.expected: set[bytes] = set()
        self.gone: set[bytes] = set()
        self.binned: set[bytes] = set()
        self.dropped: set[bytes] = set()
        #: In these cases messages die without a client's doing, and are dropped if they would cycle.
        self.drops = quorum or length is not None
        for who in (0, 2):
            self.consume(who, "work", 2, False)

    def client(self, confirms: bool) -> Client:
        client = Client(Wire(self.broker, self.cut).log_in())
        if confirms:
            client.wire.call(1, "confirm.select")
        else:
            client.wire.call(1, "tx.select")
            client.transactional = True
        return client

    # --- observations of clients
    # ----------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read the output of all clients whose sockets accept it."""
        for client in self.clients:
            if client.readable:
                for got in client.wire.receive():
                    self.see(client, got)

    def see(self, client: Client, got: Received) -> None:
        if got.name in ("basic.deliver", "basic.get-ok"):
            tag = got.arguments["delivery_tag"]
            assert tag == client.last_tag + 1
            client.last_tag = tag
            assert got.body is not None
            assert got.body not in client.held.values()
            client.held[tag] = got.body
        elif got.name == "basic.ack":
            for tag in [tag for tag in client.unconfirmed if tag <= got.arguments["delivery_tag"]]:
                self.expected.add(client.unconfirmed.pop(tag))
        else:
            assert got.name in (
                "basic.get-empty",
                "basic.consume-ok",
                "basic.cancel-ok",
                "basic.qos-ok",
                "basic.recover-ok",
                "tx.commit-ok",
                "tx.rollback-ok",
            ), got

    clients_at = st.integers(0, 2)

    # --- operations of clients
    # ------------------------------------------------------------------------------------------

    @rule(
        who=clients_at,
        queue=st.sampled_from(("work", *QUEUES)),
        size=st.sampled_from([0, 0, 200, 100_000]),
        count=st.integers(1, 4),
    )
    def publish(self, who: int, queue: str, size: int, count: int) -> None:
        client = self.clients[who]
        for _ in range(count):
            self.count += 1
            body = b"%06d" % self.count + b"x" * size
            client.wire.publish(queue, body)
            if client.transactional:
                client.published.append(body)
            else:
                client.numbered += 1
                client.unconfirmed[client.numbered] = body
        self.read()

    @rule(who=clients_at, queue=st.sampled_from(QUEUES), prefetch=st.integers(0, 3), globally=st.booleans())
    def consume(self, who: int, queue: str, prefetch: int, globally: bool) -> None:
        client = self.clients[who]
        tag = f"{queue}{len(client.consumers)}"
        if tag in client.consumers:
            return
        client.consumers.add(tag)
        quorum = isinstance(q := self.vhost.queues["work"], LocalQueue) and q.kind.counts_returns
        client.wire.send(1, "basic.qos", prefetch_count=prefetch, global_=globally and not quorum)
        client.wire.send(1, "basic.consume", queue=queue, consumer_tag=tag)
        self.read()

    @rule(who=clients_at, data=st.data())
    def cancel(self, who: int, data: st.DataObject) -> None:
        client = self.clients[who]
        if client.consumers:
            tag = data.draw(st.sampled_from(sorted(client.consumers)))
            client.consumers.discard(tag)
            client.wire.send(1, "basic.cancel", consumer_tag=tag)
            self.read()

    @rule(who=clients_at, queue=st.sampled_from(("retry", "grave")))
    def get(self, who: int, queue: str) -> None:
        self.clients[who].wire.send(1, "basic.get", queue=queue)
        self.read()

    @precondition(lambda self: any(client.held for client in self.clients))
    @rule(data=st.data(), multiple=st.booleans(), how=st.sampled_from(["ack", "ack", "requeue", "reject"]))
    def settle(self, data: st.DataObject, multiple: bool, how: str) -> None:
        client = data.draw(st.sampled_from([client for client in self.clients if client.held]))
        tag = data.draw(st.sampled_from(sorted(client.held)))
        taken = [each for each in client.held if each == tag or (multiple and each < tag)]
        bodies = [client.held.pop(each) for each in taken]
        if how == "reject":
            unacked = client.wire.connection.channels[1].unacked.entries
            self.binned |= {
                body for each, body in zip(taken, bodies, strict=True) if unacked[each].queue.name == "grave"
            }
        if how == "ack":
            client.wire.send(1, "basic.ack", delivery_tag=tag, multiple=multiple)
            if client.transactional:
                client.settled += bodies
            else:
                self.gone.update(bodies)
        else:
            client.wire.send(1, "basic.nack", delivery_tag=tag, multiple=multiple, requeue=how == "requeue")
        self.read()

    @precondition(lambda self: any(client.held for client in self.clients))
    @rule(data=st.data(), how=st.sampled_from(["requeue", "reject"]))
    def settle_more(self, data: st.DataObject, how: str) -> None:
        self.settle(data, False, how)

    @rule(who=clients_at)
    def recover(self, who: int) -> None:
        client = self.clients[who]
        if client.readable:
            client.held.clear()
            client.wire.send(1, "basic.recover", requeue=True)
            self.read()

    @rule(commit=st.booleans())
    def end_transaction(self, commit: bool) -> None:
        """End the transaction.

        A rollback makes settled deliveries outstanding again; the channel is closed to requeue them.
        """
        for who, client in enumerate(self.clients):
            if not client.transactional or not client.readable:
                continue
            if commit:
                client.wire.send(1, "tx.commit")
                self.gone.update(client.settled)
                self.expected.update(client.published)
                client.published, client.settled = [], []
            else:
                client.wire.send(1, "tx.rollback")
                self.lose(who, True)
            self.read()

    @rule(who=clients_at, really=st.sampled_from([False, False, True]))
    def lose(self, who: int, really: bool) -> None:
        """Break the connection's socket; another client takes its place."""
        if not really:
            return
        client = self.clients[who]
        self.expected.update(client.unconfirmed.values())
        client.wire.connection.lost()
        assert client.wire.turn() == b""
        self.clients[who] = self.client(confirms=not client.transactional)
        self.read()

    @rule(who=clients_at, readable=st.sampled_from([False, True, True]))
    def stall(self, who: int, readable: bool) -> None:
        client = self.clients[who]
        client.readable = readable
        client.wire.connection.set_writable(readable)
        self.read()

    @rule(ms=st.sampled_from([1, 20, 200]))
    def wait(self, ms: int) -> None:
        assert isinstance(self.broker.clock, ManualClock)
        self.broker.clock.advance(ms)
        self.read()

    # --- invariants
    # -----------------------------------------------------------------------------------------------------

    def outstanding(self) -> dict[str, list[bytes]]:
        """Return the messages of each queue that channels hold, including those that transactions would settle."""
        bodies: dict[str, list[bytes]] = {queue: [] for queue in QUEUES}
        for client in self.clients:
            channel = client.wire.connection.channels[1]
            entries = list(channel.unacked.entries.values())
            if channel.transaction is not None:
                entries += [entry for taken, _ in channel.transaction._settled for entry in taken.values()]
            for entry in entries:
                bodies[entry.queue.name].append(entry.message.body)
        return bodies

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        if not hasattr(self, "drops"):
            return
        places: list[bytes] = []
        outstanding = self.outstanding()
        for name in QUEUES:
            queue = self.vhost.queues[name]
            assert isinstance(queue, LocalQueue)
            assert queue.unacked_count == len(outstanding[name])
            places += [entry.message.body for entry in queue.ready]
            places += outstanding[name]
        assert len(places) == len(set(places)), "doubled"
        assert not set(places) & self.gone, "back from the dead"
        self.dropped |= self.expected - self.gone - set(places)
        assert self.drops or self.dropped <= self.binned, "lost"
        assert not self.dropped & set(places), "back from the dead"

    @invariant()
    def channels_exchanges_and_queues_count_alike(self) -> None:
        if not hasattr(self, "drops"):
            return
        traffic = self.vhost.traffic
        by_channels = dict(zip(traffic.counter_names, traffic.counters(), strict=True))
        assert traffic.counters() == self.broker.totals.traffic.counters()
        kinds = self.broker.totals.queues.values()
        names = next(iter(kinds)).counter_names
        by_queues = dict(zip(names, summed((0,) * len(names), [kind.counters() for kind in kinds]), strict=True))
        for name in ("deliver", "deliver_no_ack", "get", "get_no_ack", "get_empty", "redeliver", "ack"):
            assert by_channels[name] == by_queues[name], name
        assert self.vhost.exchanges[""].counters() == (by_channels["publish"], by_queues["publish"])
        assert by_queues["messages_unacknowledged"] == sum(map(len, self.outstanding().values()))

    @invariant()
    def consumers_are_busy_or_nothing_waits(self) -> None:
        for queue in self.vhost.queues.values() if hasattr(self, "drops") else ():
            assert isinstance(queue, LocalQueue)
            able = [one for one in queue.consumers.all if one.can_take()]
            if queue.settings.single_active_consumer:
                able = [one for one in able if one is queue.consumers.active]
            assert not (queue.ready_count and able), "a consumer waits although something is ready"

    @precondition(lambda self: all(client.readable for client in self.clients))
    @rule()
    def clients_know_what_they_hold(self) -> None:
        for client in self.clients:
            channel = client.wire.connection.channels[1]
            assert {tag: entry.message.body for tag, entry in channel.unacked.entries.items()} == client.held
            assert not client.unconfirmed

    def teardown(self) -> None:
        if not hasattr(self, "drops"):
            return
        for client in self.clients:
            client.wire.connection.lost()
        places = []
        for queue in self.vhost.queues.values():
            assert isinstance(queue, LocalQueue)
            assert (queue.unacked_count, queue.consumer_count) == (0, 0)
            places += [entry.message.body for entry in queue.ready]
        assert len(places) == len(set(places))


class TestConservation(Machine.TestCase):
    settings = effort(100, steps=40)

    def runTest(self) -> None:
        with no_errors_logged():
            super().runTest()
