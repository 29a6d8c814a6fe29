"""The brokers of one database as a test wants them."""

from amqpbroker.broker.cluster import Change, Cluster, Member
from amqpbroker.broker.node import Database


def member(name, leader=False, drained=False, running=True, lag_s=None):
    return Member(name, name, f"process of {name}", f"{name}:5672", "1.2", running, leader, drained, 1, 2, lag_s)


class StillCluster(Cluster):
    """requests: those that came. error: raised by the next one."""

    def __init__(self, *found):
        self.found = list(found)
        self.requests = []
        self.error = None

    def _answer(self, *request):
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return Change("b", request[0] == "transfer")

    async def members(self):
        if self.error is not None:
            raise self.error
        return self.found

    async def transfer(self, name):
        return self._answer("transfer", name)

    async def drain(self, name, through):
        return self._answer("drain", name, through)

    async def revive(self, name, through):
        return self._answer("revive", name, through)

    def watch(self, on_hand_over):
        raise AssertionError


def add_cluster(api, *found):
    """Add a database with these members to the broker of an API."""
    api.node.cluster = StillCluster(*found)
    api.node.database = Database("postgresql://h/d", 7, True)
    return api.node.cluster
