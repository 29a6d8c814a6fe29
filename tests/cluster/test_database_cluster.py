"""The brokers that share the vhosts of a database, as one of them shows and changes them."""

import asyncio
import threading
from contextlib import contextmanager
from functools import partial
from itertools import count

import pytest

from amqpbroker.broker.cluster import Change, Move, RefusedError, UnknownBrokerError, UnknownVhostError
from amqpbroker.cluster.database_cluster import DatabaseCluster
from amqpbroker.cluster.leadership.leadership import Leader, session_name
from amqpbroker.cluster.leadership.leaderships import Leaderships
from amqpbroker.cluster.leadership.members import Facts, Members
from amqpbroker.cluster.placement.sharing import Sharing, VhostServer
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.database.session import Session
from amqpbroker.store.database.vhost_logs import GLOBAL, read_logs
from amqpbroker.store.definitions.definitions import VhostDefinition
from amqpbroker.store.log import UnwrittenError
from tests.store.database.opening import Opened

VHOSTS = [f"vhost {number}" for number in range(6)]


def begins(pattern, vhost):
    return vhost.startswith(pattern)


class Broker(VhostServer):
    """A broker with sessions in a database, whose vhosts all have clients. It hands vhosts over at once."""

    def __init__(self, database, name, now_s, pattern, loop):
        process = f"process of {name}"
        self._sessions = [Session(database, session_name(process, use), 10) for use in ("lease", "brokers", "logs")]
        lease, table, logs = self._sessions
        self.is_cut_off = False
        node = "same@host" if name in "xy" else f"{name}@host"
        self.members = Members(table, Facts(process, node, f"{name}:5672", "1", pattern), 60.0)
        self.members.report(None)
        self.leaderships = Leaderships(lease, Leader(node, f"{name}:5672", process), 60.0, now_s)
        self.sharing = Sharing(
            self.leaderships, process, lambda: [GLOBAL, *logs.run(read_logs)], self.members.rows, self, begins
        )
        self.cluster = DatabaseCluster(
            loop, self.members, self.sharing, begins, lambda vhost: False, lambda: 1.5, lambda: self.is_cut_off
        )

    def serve(self, log, epoch):
        pass

    def remove(self, log, epoch):
        raise AssertionError

    def lose(self, log, epoch, error):
        raise AssertionError

    def serves(self, log):
        return True

    def hand_over(self, log, epoch, successor):
        self.sharing.released(log, epoch, successor)

    def check(self, connection):
        pass

    def follow(self, logs):
        pass

    def has_followed(self, log):
        return True

    def busy(self):
        return list(self.leaderships.held)

    def end(self):
        for session in self._sessions:
            session.close()


class Brokers:
    def __init__(self, database):
        self._database = database
        self._now_s = partial(next, count(0, 1))
        self.running = {}
        self._opened = Opened(database)
        self._opened.definitions.put(*[VhostDefinition(vhost) for vhost in VHOSTS])
        self._opened.definitions.sync()

    def add(self, name, pattern=""):
        self.running[name] = Broker(self._database, name, self._now_s, pattern, asyncio.get_running_loop())
        self.step()
        return self.running[name].cluster

    def end(self, name):
        gone = self.running.pop(name)
        gone.end()
        for broker in self.running.values():
            # The server may show its sessions for a moment.
            while any(row.running for row in broker.members.rows() if row.facts == gone.members.facts):
                pass

    @contextmanager
    def stopped(self, name):
        """Keep the session of the table of a broker from being answered meanwhile."""
        begun, goes_on = threading.Event(), threading.Event()

        def wait(connection):
            begun.set()
            goes_on.wait(30)

        thread = threading.Thread(target=self.running[name].members.run, args=[wait])
        thread.start()
        begun.wait(30)
        try:
            yield
        finally:
            goes_on.set()
            thread.join()

    def step(self):
        for _ in range(4):
            for broker in self.running.values():
                broker.sharing.step()

    def led(self, name):
        return len(self.running[name].leaderships.held)

    def close(self):
        for name in list(self.running):
            self.end(name)
        self._opened.close()


@pytest.fixture
def brokers(database):
    made = Brokers(database)
    # It led the log of the definitions.
    made._opened.close()
    yield made
    made.close()


async def test_a_broker_shows_what_it_has_last_read(brokers):
    a, b = brokers.add("a"), brokers.add("b")
    brokers.step()
    assert {each.vhost for each in b.leaders()} == {"", *VHOSTS}
    assert {(each.name, each.process) for each in b.leaders()} == {("a@host", "process of a")}
    assert all(each.epoch >= 1 for each in b.leaders())
    assert not b.is_drained()
    await a.drain("b@host")
    brokers.step()
    assert (a.is_drained(), b.is_drained()) == (False, True)
    assert (a.reaches_database(), b.reaches_database()) == (True, True)
    brokers.running["a"].is_cut_off = True
    assert (a.reaches_database(), b.reaches_database()) == (False, True)


async def test_a_broker_that_the_database_does_not_answer_says_so_at_once(brokers):
    a = brokers.add("a")
    with brokers.stopped("a"):
        async with asyncio.timeout(5):
            waiting = [asyncio.ensure_future(a.members()) for _ in range(20)]
            await asyncio.sleep(0.1)
            # Nobody else waits for these.
            assert await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 1)
            brokers.running["a"].is_cut_off = True
            with pytest.raises(UnwrittenError, match="the database does not answer this broker"):
                await a.members()
            with pytest.raises(UnwrittenError, match="the database does not answer this broker"):
                await a.drain("")
    # Requests that no worker has begun before the lease ended do not use the session.
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {str(each) for each in answers[2:]} == {"the database does not answer this broker"}
    assert [len(each) for each in answers[:2]] == [1, 1]
    brokers.running["a"].is_cut_off = False
    assert len(await a.members()) == 1
    await a.close()
    with pytest.raises(UnwrittenError, match="this broker ends"):
        await a.members()


async def test_each_broker_shows_all_of_them_itself_first(brokers):
    a = brokers.add("a")
    b = brokers.add("b")
    brokers.add("c")
    brokers.end("c")
    found = await b.members()
    assert [(member.name, member.led, member.leader, member.running) for member in found] == [
        ("b@host", 0, False, True),
        ("a@host", 6, True, True),
        ("c@host", 0, False, False),
    ]
    assert (await a.members())[0].name == "a@host"
    assert b.leader_of("vhost 1") == "a@host"
    assert b.leader_of("none") == ""
    assert b.lag_s() == 1.5


async def test_brokers_with_one_name_lead_under_their_addresses(brokers):
    x = brokers.add("x")
    brokers.add("y")
    assert x.leader_of("vhost 1") == x.name == "same@x:5672" == (await x.members())[0].name


async def test_a_vhost_is_handed_over_at_the_request_of_any_broker(brokers):
    a, b = brokers.add("a"), brokers.add("b")
    assert await b.transfer("vhost 1", "b@host") == Change("b@host", True)
    brokers.step()
    assert (brokers.led("b"), a.leader_of("vhost 1")) == (1, "b@host")
    assert await a.transfer("vhost 1", "b:5672") == Change("b@host", False)
    # The default is the standby.
    assert await a.transfer("vhost 2", "") == Change("b@host", True)
    brokers.step()
    assert brokers.led("b") == 2


async def test_transfers_that_are_refused(brokers):
    a = brokers.add("a")
    with pytest.raises(RefusedError, match="no other broker can lead: start another one"):
        await a.transfer("vhost 1", "")
    with pytest.raises(UnknownVhostError, match="vhost 'none' does not exist"):
        await a.transfer("none", "")
    with pytest.raises(UnknownBrokerError, match="z is no broker with this database: name one of a@host"):
        await a.transfer("vhost 1", "z")
    brokers.add("b")
    assert await a.drain("b@host") == Change("b@host", False)
    with pytest.raises(RefusedError, match=r"b@host cannot lead, since it is drained: .*revive b@host"):
        await a.transfer("vhost 1", "b@host")
    await a.revive("b@host")
    brokers.end("b")
    with pytest.raises(RefusedError, match="b@host cannot lead, since it does not run: start it first"):
        await a.transfer("vhost 1", "b@host")
    brokers.running["a"].leaderships.release("v1", "")
    with pytest.raises(RefusedError, match="no broker leads vhost 'vhost 0' at the moment"):
        await a.transfer("vhost 0", "a@host")


async def test_a_drained_broker_hands_everything_over_until_it_is_revived(brokers):
    a, b = brokers.add("a"), brokers.add("b")
    with pytest.raises(UnknownBrokerError):
        await b.drain("z")
    assert await a.drain("") == Change("a@host", True, tuple(VHOSTS))
    brokers.step()
    assert (brokers.led("a"), brokers.led("b")) == (0, 7)
    with pytest.raises(RefusedError, match="no broker could lead if b@host were drained: start another one"):
        await a.drain("b@host")
    assert await b.revive("a@host") == Change("a@host", False)
    assert [member.drained for member in await a.members()] == [False, False]


async def test_a_rebalance_moves_vhosts_with_clients_until_all_have_as_many(brokers, caplog):
    a, b = brokers.add("a"), brokers.add("b")
    assert (brokers.led("a"), brokers.led("b")) == (7, 0)
    moved = await b.rebalance()
    assert {(move.source, move.target) for move in moved} == {("a@host", "b@host")}
    assert Move(moved[0].vhost, "a@host", "b@host") == moved[0]
    brokers.step()
    assert (brokers.led("a"), brokers.led("b")) == (7 - len(moved), len(moved)) in ((4, 3), (3, 4))
    assert LOG in brokers.running["a"].leaderships.held
    assert caplog.messages == [f"vhosts to be handed over to other brokers: {len(moved)}"]
    assert await a.rebalance() == []
    assert len(caplog.messages) == 1
    # One rebalance, not a mode.
    brokers.add("c")
    assert brokers.led("c") == 0


async def test_a_rebalance_gives_vhosts_to_the_brokers_that_prefer_them(brokers):
    a = brokers.add("a")
    brokers.add("b", "vhost 1")
    assert [move.vhost for move in await a.rebalance()] == ["vhost 1"]
