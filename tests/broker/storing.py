"""Parts of tests with stored messages: a broker on files that outlive it, its operations and its state."""

from pathlib import Path

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.server.data import go_on
from amqpbroker.store.committer import Committer, InlineCommitter
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.streams.streams import Streams
from tests.fault_files import FaultyFiles
from tests.harness import Wire

DIRECTORY = Path("/journal")
STREAMS = Path("/streams")

#: Batch size in bytes for tests with several batches, a body of which few fill a batch, and the limits for a Node.
BATCH = 4_000
BODY = "{:0500}".format
LIMITS = {"batch_bytes": BATCH}


class LaterCommitter(Committer):
    """Writes only when the test calls it."""

    def __init__(self, journal, before=lambda: None):
        super().__init__(journal, before)
        self.inline = InlineCommitter(journal, before)
        self.work = []

    def start(self, batch, on_done):
        self.work.append((batch, on_done))

    def close(self):
        self.finish()

    def finish(self):
        work, self.work = self.work, []
        for batch, on_done in work:
            self.inline.start(batch, on_done)


class StepCommitter(LaterCommitter):
    """Writes one batch for each `finish`. sizes: number of bytes of each batch."""

    def __init__(self, journal, before=lambda: None):
        super().__init__(journal, before)
        self.sizes = []

    def start(self, batch, on_done):
        if batch is not None:
            self.sizes.append(sum(map(len, batch.parts)))
        super().start(batch, on_done)


class Node:
    """A broker on files that outlive it. `queues` are declared at each start, like restored definitions.

    limits: fields of Bounds. doubts: whether all messages count as redelivered after a crash, as in a broker's process.
    """

    config = Config()
    doubts = False

    def __init__(self, files=None, clock=None, committer=InlineCommitter, limits=None, **queues):
        self.files = files or FaultyFiles()
        self.clock = clock or ManualClock()
        self.queues = queues or {"q": {}}
        self.failures = []
        journal = Journal(DIRECTORY, self.files)
        found = journal.recover()
        if self.doubts:
            go_on(journal, found)
        bounds = BOUNDS._replace(**(limits or {}))
        self.streams = Streams(STREAMS, self.files, bounds.stream_cache_bytes)
        self.committer = committer(journal, self.streams.write)
        self.persistence = Persistence(
            journal, self.committer, self.failures.append, self.clock, bounds=bounds, streams=self.streams
        )
        self.stuck = []
        self.persistence.watch_disk(self.stuck.append)
        self.broker = Broker(self.config, self.clock, self.persistence)
        by_id = {}
        for number, (name, arguments) in enumerate(self.queues.items(), 1):
            queue = self.broker.vhosts["/"].declare_queue(name, True, False, False, arguments)
            queue.id = number
            by_id[number] = queue
        self.declare_more()
        self.restored = self.persistence.restore(found, by_id, (), self.broker.storage.id_keepers())
        self.broker.sync()

    def declare_more(self):
        """Declare what else is restored before the stored messages are."""

    def crash(self, keep=0):
        """Simulate a power failure and the restart of the machine."""
        self.files.power_loss(keep)
        return type(self)(self.files, self.clock, type(self.committer), **self.queues)

    def client(self):
        return Wire(self.broker).log_in()


def node_with(limits=LIMITS, **queues):
    return Node(committer=StepCommitter, limits=limits, **queues)


def crashed_copy(node):
    files = node.files.copy()
    files.power_loss()
    return Node(files, node.clock, **node.queues)


def bodies(node, queue="q"):
    client = node.client()
    found = []
    while (got := client.get(queue)).name == "basic.get-ok":
        found.append(got.body.decode())
    return found


def depth(node, name):
    return node.broker.vhosts["/"].queues[name].ready.count


def publish(client, *texts, queue="q", **properties):
    for text in texts:
        client.publish(queue, text.encode(), delivery_mode=2, **properties)


def confirming(node):
    client = node.client()
    client.call(1, "confirm.select")
    return client


def acks(client):
    return [got.arguments["delivery_tag"] for got in client.receive() if got.name == "basic.ack"]


def finish(node):
    """Write all pending batches; return their number."""
    count = 0
    while node.committer.work:
        count += 1
        node.committer.finish()
    return count
