"""The brokers of one database as a test wants them."""

from amqpbroker.broker.cluster import Change, Cluster, Leading, Member, Move
from amqpbroker.broker.node import Database


def member(name, leader=False, drained=False, running=True, lag_s=None, led=0):
    return Member(name, name, f"process of {name}", f"{name}:5672", "1.2", running, leader, drained, 1, 2, lag_s, led)


class StillCluster(Cluster):
    """The cluster of its first broker. requests: those that came. error: raised by the next one.

    led: vhosts, each with the name of its leader and an epoch. lag: of its first broker, in seconds. reaches, drained:
    whether that broker reaches the database, or is drained.
    """

    def __init__(self, *found):
        self.found = list(found)
        self.process = found[0].process if found else ""
        self._name = found[0].name if found else "rabbit@test"
        self.requests = []
        self.error = None
        self.led = []
        self.reaches = True
        self.drained = False
        self.lag = None

    def _answer(self, *request):
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return Change("b", request[0] == "transfer", ("v", "w") if request[0] == "drain" else ())

    @property
    def name(self):
        return self._name

    async def members(self):
        if self.error is not None:
            raise self.error
        return self.found

    def leader_of(self, vhost):
        return next((name for each, name, _ in self.led if each == vhost), "")

    def leaders(self):
        return [Leading(vhost, f"log of {vhost}", name, f"process of {name}", epoch) for vhost, name, epoch in self.led]

    def reaches_database(self):
        return self.reaches

    def is_drained(self):
        return self.drained

    def lag_s(self):
        return self.lag

    async def transfer(self, vhost, name):
        return self._answer("transfer", vhost, name)

    async def rebalance(self):
        self._answer("rebalance")
        return [Move("v", "a", "b")]

    async def drain(self, name):
        return self._answer("drain", name)

    async def revive(self, name):
        return self._answer("revive", name)


def add_cluster(api, *found):
    """Add a database with these members to the node of an API, or of a scraper."""
    api.node.cluster = StillCluster(*found)
    api.node.database = Database("postgresql://h/d", True)
    return api.node.cluster
