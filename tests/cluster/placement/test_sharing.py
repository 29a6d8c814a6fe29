"""Several brokers share the vhosts of a database, a step at a time, with a table of leaderships in memory."""

from functools import partial
from itertools import count, pairwise

import pytest

from amqpbroker.cluster.leadership.leadership import Leader, session_name
from amqpbroker.cluster.leadership.leaderships import Held
from amqpbroker.cluster.leadership.leaderships import Leaderships as RealLeaderships
from amqpbroker.cluster.leadership.members import Facts, Members, Row
from amqpbroker.cluster.placement.sharing import _PREPARING_STEPS, SETTLING_STEPS, Sharing, VhostServer
from amqpbroker.store.database.session import Session
from amqpbroker.store.database.vhost_logs import GLOBAL, VhostLog, read_logs
from amqpbroker.store.definitions.definitions import VhostDefinition
from amqpbroker.store.log import FencedError
from tests.store.database.opening import Opened


class Table:
    """The table of leaderships, as all brokers see it, and the running brokers."""

    def __init__(self, vhosts):
        self.held = {}
        self.logs = [VhostLog(number, f"vhost {number}", False) for number in range(1, vhosts + 1)]
        self.brokers = {}

    def add(self, name, pattern=""):
        self.brokers[name] = broker = Process(self, name, pattern)
        return broker

    def rows(self):
        return [Row(broker.facts, broker.running, broker.drained, 0, 0, None) for broker in self.brokers.values()]

    def step(self, rounds=8):
        for _ in range(rounds):
            for broker in list(self.brokers.values()):
                if broker.running:
                    broker.sharing.step()

    def want(self, log, name):
        """Ask the leader of a log to hand it over to a broker, as an operator does."""
        self.held[log] = self.held[log]._replace(wanted=f"process of {name}")

    def leaders(self):
        return {log: held.leader.name for log, held in sorted(self.held.items()) if held.valid}

    def counts(self):
        led = list(self.leaders().values())
        return {name: led.count(name) for name in self.brokers}


class Leaderships:
    """The leaderships of one broker."""

    def __init__(self, table, holder):
        self.held = {}
        self.tried = []
        self.abandoned = []
        self.retained = set()
        self.connections = 1
        self._table = table
        self._holder = holder

    def all(self):
        return list(self._table.held.values())

    def try_take(self, log):
        self.tried.append(log)
        held = self._table.held.get(log)
        if held is not None and held.valid and self._table.brokers[held.leader.name].running:
            return False
        epoch = 1 if held is None else held.leader.epoch + 1
        self._table.held[log] = Held(log, self._holder._replace(epoch=epoch), True, False, "")
        self.held[log] = epoch
        return True

    def retain(self, logs):
        self.retained = set(logs)

    def abandon(self, log):
        self.abandoned.append(log)

    def run(self, task):
        task(None)

    def renew(self, busy):
        lost = {}
        for log, epoch in list(self.held.items()):
            held = self._table.held[log]
            if held.leader.epoch == epoch:
                self._table.held[log] = held._replace(busy=log in busy)
            else:
                lost[log] = FencedError("lost")
                del self.held[log]
        return lost

    def release(self, log, successor):
        del self.held[log]
        self._table.held[log] = self._table.held[log]._replace(valid=False, successor=successor)

    def set_ready(self, logs):
        for log in logs:
            self._table.held[log] = self._table.held[log]._replace(ready=self._holder.process)

    def clear_ready(self, logs):
        for log in logs:
            assert self._table.held[log].ready == self._holder.process
            self._table.held[log] = self._table.held[log]._replace(ready="")

    def accept_requests(self, logs):
        for log in logs:
            self._table.held[log] = self._table.held[log]._replace(accepted=True)

    def cancel_requests(self, logs):
        for log in logs:
            self._table.held[log] = self._table.held[log]._replace(wanted="")


def prefers(pattern, vhost):
    return vhost in pattern.split(",")


class Process(VhostServer):
    """A broker. Its vhosts are served at once, and handed over at the next step unless it is slow."""

    def __init__(self, table, name, pattern=""):
        self.facts = Facts(f"process of {name}", name, f"{name}:5672", "1", pattern)
        self.running, self.drained, self.slow, self.reads_on = True, False, False, False
        self.leaderships = Leaderships(table, Leader(name, f"{name}:5672", self.facts.process))
        self.sharing = Sharing(
            self.leaderships, self.facts.process, lambda: table.logs, lambda: table.rows(), self, prefers
        )
        self.served, self.followed, self.events, self.with_clients = set(), [], [], []
        self.checks = 0

    def serve(self, log, epoch):
        self.served.add(log.name)
        self.events.append(("serve", log.name, epoch))

    def remove(self, log, epoch):
        self.served.discard(log.name)
        self.events.append(("remove", log.name, epoch))

    def lose(self, log, epoch, error):
        self.served.discard(log)
        self.events.append(("lose", log, type(error)))

    def hand_over(self, log, epoch, successor):
        self.events.append(("hand over", log, successor))
        if not self.slow:
            self.leave(log, successor)

    def leave(self, log, successor):
        self.served.discard(log)
        self.sharing.released(log, self.leaderships.held[log], successor)

    def check(self, connection):
        self.checks += 1

    def follow(self, logs):
        self.followed = logs

    def has_followed(self, log):
        return log in self.followed and not self.reads_on

    def serves(self, log):
        return log in self.served and not self.reads_on

    def busy(self):
        return self.with_clients


@pytest.fixture
def table():
    return Table(6)


def test_the_first_broker_takes_all_vhosts_and_a_second_one_gets_half(table):
    a = table.add("a")
    table.step()
    assert table.counts() == {"a": 6}
    b = table.add("b")
    table.step()
    assert table.counts() == {"a": 3, "b": 3}
    assert a.served | b.served == {log.name for log in table.logs}
    assert a.served.isdisjoint(b.served)


def test_vhosts_with_clients_do_not_move_by_themselves(table):
    a = table.add("a")
    table.step()
    a.with_clients = [log.name for log in table.logs]
    table.step()
    table.add("b")
    table.step()
    assert table.counts() == {"a": 6, "b": 0}


def test_vhosts_of_a_broker_that_died_go_to_those_that_followed_them(table):
    for name in "abc":
        table.add(name)
        table.step()
    a, b, c = table.brokers.values()
    lost, followed = a.served, {name: broker.followed for name, broker in table.brokers.items()}
    assert len(lost) == 2
    assert sorted(lost) == sorted({*followed["b"], *followed["c"]} & lost)
    a.running = False
    table.step(1)
    for broker, name in ((b, "b"), (c, "c")):
        assert {log for log in followed[name] if log in lost} <= broker.served
    assert table.counts() == {"a": 0, "b": len(b.served), "c": len(c.served)}
    assert b.served | c.served == {log.name for log in table.logs}


def test_a_drained_broker_hands_over_all_its_vhosts_and_gets_none(table):
    for name in "ab":
        table.add(name)
        table.step()
    a, b = table.brokers.values()
    a.with_clients = sorted(a.served)
    a.drained = True
    table.step()
    assert table.counts() == {"a": 0, "b": 6}
    assert a.followed == []
    a.drained, a.with_clients = False, []
    table.step()
    assert table.counts() == {"a": 3, "b": 3}
    assert b.served == {log for log, name in table.leaders().items() if name == "b"}


def test_a_drained_broker_keeps_a_vhost_until_another_one_is_ready(table):
    for name in "ab":
        table.add(name)
        table.step()
    a, b = table.brokers.values()
    a.with_clients = sorted(a.served)[:1]
    for log in a.served:
        table.held[log] = table.held[log]._replace(ready="")
    a.drained = b.reads_on = True
    table.step()
    assert table.counts() == {"a": 3, "b": 3}
    b.reads_on = False
    table.step()
    assert table.counts() == {"a": 0, "b": 6}


def test_a_broker_that_joins_gets_vhosts_when_it_has_read_their_journals(table):
    for name in "ab":
        table.add(name)
        table.step()
    before = table.leaders()
    for broker in table.brokers.values():
        broker.events.clear()
    c = table.add("c")
    c.reads_on = True
    table.step()
    assert table.leaders() == before
    assert {log for log, held in table.held.items() if held.ready == c.facts.process} == set()
    c.reads_on = False
    table.step()
    assert table.counts() == {"a": 2, "b": 2, "c": 2}
    handed = [event for each in table.brokers.values() for event in each.events if event[0] == "hand over"]
    assert len({log for _, log, _ in handed}) == len(handed) == 2


def test_a_drained_broker_does_not_wait_for_a_broker_that_is_never_ready(table):
    a, b = table.add("a"), table.add("b")
    b.reads_on = True
    table.step()
    led = a.with_clients = sorted(a.served)
    table.step(1)
    a.drained = True
    table.step(_PREPARING_STEPS)
    assert sorted(a.served) == led
    table.step(3)
    assert table.counts() == {"a": 0, "b": 6}


def test_a_broker_may_end_once_others_are_ready_to_take_its_vhosts_that_have_clients(table):
    a = table.add("a")
    a.with_clients = [log.name for log in table.logs]
    table.step()
    # There is no other broker.
    assert a.sharing.may_end
    b = table.add("b")
    b.reads_on = True
    table.step()
    assert not a.sharing.may_end
    a.with_clients = []
    table.step(2)
    assert a.sharing.may_end
    a.with_clients = sorted(a.served)
    table.step(2)
    assert not a.sharing.may_end
    b.reads_on = False
    table.step(2)
    assert a.sharing.may_end
    # Nobody could take them.
    b.drained, b.reads_on = True, True
    table.step(2)
    assert a.sharing.may_end


def test_a_broker_that_has_followed_a_vhost_takes_it_while_one_that_came_back_still_reads(table):
    for name in "abc":
        table.add(name)
        table.step()
    a, b, c = table.brokers.values()
    log = next(log for log in sorted(a.served) if table.held[log].ready == b.facts.process)
    assert log not in c.followed
    b.running = False
    table.step()
    assert table.held[log].ready == c.facts.process
    b.running = b.reads_on = True
    table.step()
    assert log in b.followed
    assert log in c.followed
    b.reads_on = False
    table.step()
    assert table.held[log].ready == b.facts.process
    assert log not in c.followed


def test_a_broker_that_has_to_read_a_journal_again_is_not_ready_meanwhile(table):
    a, b = table.add("a"), table.add("b")
    table.step()
    led = sorted(a.served)
    assert {table.held[log].ready for log in led} == {b.facts.process}
    b.reads_on = True
    table.step(1)
    assert {table.held[log].ready for log in led} == {""}
    b.reads_on = False
    table.step(1)
    assert {table.held[log].ready for log in led} == {b.facts.process}
    # A drained broker follows nothing.
    b.drained = True
    table.step(2)
    assert {table.held[log].ready for log in led} == {""}


def test_a_vhost_is_handed_over_only_once_while_that_takes_time(table):
    a = table.add("a")
    table.step()
    a.slow = True
    b = table.add("b")
    table.step()
    handed = [event for event in a.events if event[0] == "hand over"]
    assert len(handed) == 3 == len({log for _, log, _ in handed})
    assert table.counts() == {"a": 6, "b": 0}
    for _, log, successor in handed:
        assert successor == b.facts.process
        a.leave(log, successor)
    table.step()
    assert table.counts() == {"a": 3, "b": 3}
    assert len([event for event in a.events if event[0] == "hand over"]) == 3


def test_a_vhost_that_another_broker_has_taken_is_lost(table):
    for name in "ab":
        table.add(name)
        table.step()
    a, b = table.brokers.values()
    log = min(a.served)
    held = table.held[log]
    table.held[log] = held._replace(leader=Leader("b", "b:5672", b.facts.process, epoch=held.leader.epoch + 1))
    a.sharing.step()
    assert ("lose", log, FencedError) in a.events
    assert log not in a.served


def test_new_vhosts_go_to_the_broker_with_the_fewest(table):
    for name in "ab":
        table.add(name)
        table.step()
    a, _ = table.brokers.values()
    a.running = False
    table.step()
    a.running = True
    table.step()
    table.logs += [VhostLog(number, f"vhost {number}", False) for number in (7, 8)]
    table.step()
    assert table.counts() == {"a": 4, "b": 4}


def test_nothing_moves_without_a_change(table):
    for name in "abc":
        table.add(name)
    table.step()
    states = []
    for _ in range(5):
        table.step(1)
        states.append(table.leaders())
    assert all(before == after for before, after in pairwise(states))


def test_a_broker_that_is_not_reported_yet_takes_nothing(table):
    a = table.add("a")
    reported, table.rows = table.rows, list
    a.sharing.step()
    assert a.leaderships.tried == []
    table.rows = reported
    a.sharing.step()
    assert table.counts() == {"a": 6}


def test_a_deleted_vhost_is_removed_once_by_its_leader_whether_it_was_led_before_or_not(table):
    a = table.add("a")
    table.step(1)
    table.logs[:2] = [log._replace(removed=True) for log in table.logs[:2]]
    table.logs.append(VhostLog(9, "unserved", True))
    table.step(3)
    assert [event for event in a.events if event[0] == "remove"] == [
        ("remove", f"v{number}", 1) for number in (1, 2, 9)
    ]
    assert ("serve", "v9", 1) not in a.events
    table.logs = table.logs[2:-1]
    for log in ("v1", "v2", "v9"):
        held = table.held.pop(log)
        table.held[log] = held._replace(leader=held.leader._replace(epoch=0))
    table.step(1)
    assert [event for event in a.events if event[0] == "lose"] == []
    assert a.served == a.leaderships.retained == {"v3", "v4", "v5", "v6"}


def test_a_vhost_that_was_created_again_is_led_by_the_leader_of_its_new_log(table):
    a, b = table.add("a"), table.add("b")
    table.step()
    table.logs[0] = table.logs[0]._replace(removed=True)
    table.logs.insert(0, VhostLog(9, table.logs[0].vhost, False))
    table.step()
    leader = table.leaders()["v9"]
    assert [each.sharing.leaders["vhost 1"].name for each in (a, b)] == [leader, leader]


def test_a_broker_that_ends_renews_and_releases_and_takes_nothing(table):
    a = table.add("a")
    table.step()
    a.sharing.end()
    a.sharing.released("v1", 1, "")
    table.step()
    assert table.leaders() == {f"v{number}": "a" for number in range(2, 7)}


def test_a_broker_follows_no_vhost_that_it_leads_or_that_is_deleted(table):
    a, b = table.add("a"), table.add("b")
    table.step()
    assert set(a.followed) == b.served
    assert set(b.followed) == a.served
    deleted, taken = a.followed[0], a.followed[1:]
    table.logs = [log._replace(removed=log.name == deleted) for log in table.logs]
    table.step(1)
    assert set(a.followed) == set(taken)
    b.running = False
    # Others see in the next step only that it has taken these.
    a.sharing.step()
    assert set(taken) <= a.served
    assert list(a.followed) == []


def test_what_is_served_is_checked_after_each_new_connection(table):
    a = table.add("a")
    table.step()
    before = a.checks
    a.leaderships.connections += 1
    table.step()
    assert a.checks == before + 1


def test_a_removal_that_failed_is_tried_again(table):
    a = table.add("a")
    table.logs = [VhostLog(1, "v", True)]
    table.step(2)
    a.sharing.released("v1", 1, "")
    table.step(2)
    assert a.events == [("remove", "v1", 1), ("remove", "v1", 2)]


def test_a_late_release_does_not_end_a_later_leadership(table):
    a = table.add("a")
    table.step()
    for _ in range(2):
        a.sharing.released("v1", 1, "")
        table.step(2)
    assert a.leaderships.held["v1"] == 2


def test_a_release_that_failed_is_tried_again(table):
    a = table.add("a")
    table.step()
    release, a.leaderships.release = a.leaderships.release, refuse
    a.sharing.released("v1", 1, "")
    with pytest.raises(OSError, match="away"):
        a.sharing.step()
    assert table.leaders()["v1"] == "a"
    a.leaderships.release = release
    epoch = a.leaderships.held["v1"]
    table.step(1)
    assert a.leaderships.held["v1"] == epoch + 1


# --- requests of operators, and preferences ---------------------------------------------------------------------------


def with_clients(broker):
    """Give clients to all vhosts of a broker from now on."""
    broker.busy = lambda: sorted(broker.served)


def test_a_vhost_with_clients_is_handed_over_to_the_broker_that_an_operator_wants(table):
    a = table.add("a")
    with_clients(a)
    table.step()
    b = table.add("b")
    table.want("v2", "b")
    table.step()
    assert table.leaders() == {**dict.fromkeys((log.name for log in table.logs), "a"), "v2": "b"}
    assert [event for event in a.events if event[0] == "hand over"] == [("hand over", "v2", b.facts.process)]
    # The request has ended with the takeover.
    assert table.held["v2"].wanted == ""


def test_a_vhost_is_handed_over_when_the_broker_that_an_operator_wants_has_read_it(table):
    a = table.add("a")
    with_clients(a)
    table.step()
    b, c = table.add("b"), table.add("c")
    table.step(2)
    log = next(log for log in sorted(a.served) if log not in c.followed)
    c.reads_on = True
    table.want(log, "c")
    table.step(2)
    assert log in c.followed
    table.step()
    assert table.leaders()[log] == "a"
    c.reads_on = False
    table.step()
    assert table.leaders()[log] == "c"
    assert [event for event in a.events if event[0] == "hand over"] == [("hand over", log, c.facts.process)]
    assert log not in b.served


def test_a_vhost_that_cannot_be_read_before_is_handed_over_in_the_end(table):
    a = table.add("a")
    with_clients(a)
    table.step()
    b = table.add("b")
    b.reads_on = True
    table.want("v2", "b")
    table.step(_PREPARING_STEPS)
    assert table.leaders()["v2"] == "a"
    table.step()
    assert table.leaders()["v2"] == "b"


def test_a_vhost_that_an_operator_has_moved_stays_without_clients(table):
    for name in "ab":
        table.add(name)
        table.step()
    a, b = table.brokers.values()
    moved, others = set(a.served), set(b.served)
    for log in moved:
        table.want(log, "b")
    table.step(SETTLING_STEPS + 4)
    # The share of the other broker comes from the vhosts that no operator has moved.
    assert (b.served, a.served) == (moved, others)


@pytest.mark.parametrize("state", ["dead", "drained", "itself"])
def test_a_request_that_cannot_be_carried_out_is_cancelled(table, state):
    a = table.add("a")
    with_clients(a)
    table.step()
    b = table.add("b")
    b.running, b.drained = state != "dead", state == "drained"
    table.want("v2", "a" if state == "itself" else "b")
    table.step()
    assert table.held["v2"].wanted == ""
    b.running, b.drained = True, False
    table.step()
    assert table.counts() == {"a": 6, "b": 0}


def test_a_vhost_that_had_clients_does_not_move_again_while_they_connect(table):
    a = table.add("a")
    with_clients(a)
    table.step()
    b = table.add("b")
    a.drained = True
    table.step(4)
    assert table.counts() == {"a": 0, "b": 6}
    a.drained = False
    table.step(SETTLING_STEPS - 3)
    assert table.counts() == {"a": 0, "b": 6}
    table.step(SETTLING_STEPS)
    assert table.counts() == {"a": 3, "b": 3}
    assert b.with_clients == []


def test_the_clients_of_a_vhost_whose_messages_are_still_read_are_waited_for(table):
    """On a busy machine this takes longer than a client needs to connect."""
    a = table.add("a")
    with_clients(a)
    table.step()
    b = table.add("b")
    table.step()
    a.running, b.reads_on = False, True
    table.step(SETTLING_STEPS)
    table.add("c")
    table.step(SETTLING_STEPS)
    assert {*table.leaders().values()} == {"b"}
    b.reads_on = False
    table.step(SETTLING_STEPS - 1)
    assert {*table.leaders().values()} == {"b"}
    table.step(SETTLING_STEPS)
    assert {*table.leaders().values()} == {"b", "c"}


def test_a_broker_leads_the_vhosts_that_it_prefers_while_it_runs(table):
    table.add("a")
    table.step()
    b = table.add("b", "vhost 1,vhost 2,vhost 3,vhost 4")
    table.step()
    assert b.served == {"v1", "v2", "v3", "v4"}
    b.running = False
    table.step()
    assert table.counts()["a"] == 6


def test_no_broker_prefers_the_log_of_definitions(table):
    table.logs = [GLOBAL]
    table.add("a")
    table.step()
    table.add("b", "")
    table.step()
    assert table.leaders() == {GLOBAL.name: "a"}


def refuse(log, successor):
    raise OSError("away")


class RealProcess(Process):
    """A broker with sessions in a database."""

    def __init__(self, database, name, now_s):
        process = f"process {name}"
        self._sessions = [Session(database, session_name(process, use), 10) for use in ("lease", "brokers", "logs")]
        lease, brokers, logs = self._sessions
        members = Members(brokers, Facts(process, name, f"{name}:5672", "1"), 60.0)
        members.report(None)
        self.leaderships = RealLeaderships(lease, Leader(name, f"{name}:5672", process), 60.0, now_s)
        self.sharing = Sharing(self.leaderships, process, lambda: logs.run(read_logs), members.rows, self)
        self.served, self.followed, self.events, self.with_clients = set(), [], [], []
        self.checks = 0
        self.slow = self.reads_on = False

    def end(self):
        for session in self._sessions:
            session.close()


def test_brokers_share_the_vhosts_of_a_database(database):
    opened = Opened(database)
    opened.definitions.put(*[VhostDefinition(f"vhost {number}") for number in range(6)])
    opened.definitions.sync()
    brokers, now_s = [], partial(next, count(0, 1))
    try:
        for name in "abc":
            brokers.append(RealProcess(database, name, now_s))
            for _ in range(4):
                for broker in brokers:
                    broker.sharing.step()
        a, b, c = brokers
        assert [len(broker.served) for broker in brokers] == [2, 2, 2]
        lost = a.served
        a.end()
        for _ in range(8):
            for broker in (b, c):
                broker.sharing.step()
        assert b.served | c.served == {f"v{number}" for number in range(1, 7)}
        assert [event for event in (*b.events, *c.events) if event[0] == "lose"] == []
        epochs = {log: epoch for broker in (b, c) for log, epoch in broker.leaderships.held.items()}
        assert all(epochs[log] > a.leaderships.held[log] for log in lost)
    finally:
        for broker in brokers:
            broker.end()
        opened.close()
