"""A broker process whose disk is full for real: a small tmpfs or, where none may be mounted, a limit on its files."""

import contextlib
import itertools
import signal
import subprocess
from collections.abc import Iterator

import pytest

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.wire.values import Field, longstr
from tests.crash.clients import events_of
from tests.crash.streams import offset_of
from tests.harness import published
from tests.load.client import TIMEOUT_S, LoadClient, request
from tests.process import BrokerProcess

resource = pytest.importorskip("resource")

DISK_BYTES = 8 << 20
BALLAST_BYTES = 4 << 20
FILE_BYTES = 3 << 20

#: Confirms that the publisher does not wait for.
WINDOW = 20
SIZE = 20_000
#: After which nothing more is expected to be confirmed.
IDLE_S = 0.5
#: More than fits.
MOST = 2 * DISK_BYTES // SIZE


class SmallDisk:
    """A tmpfs with a ballast on it, which `free` removes."""

    def __init__(self, directory):
        directory.mkdir()
        self.data = directory / "data"
        self.ballast = directory / "ballast"
        self.ballast.write_bytes(bytes(BALLAST_BYTES))

    def limit(self, broker):
        pass

    def grow(self, size):
        """Set the size of the file system, in bytes."""
        remount = ["mount", "-o", f"remount,size={size}", str(self.ballast.parent.parent)]
        subprocess.run(remount, check=True, capture_output=True)

    def fill(self):
        """Fill the file system to the last byte."""
        with contextlib.suppress(OSError), self.ballast.open("ab", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    def free(self, broker):
        self.ballast.unlink(missing_ok=True)


class FileLimit:
    """No file of the broker may grow beyond a size. The error is EFBIG; the signal that goes with it Python ignores."""

    def __init__(self, directory):
        self.data = directory / "data"

    def limit(self, broker):
        _, hard = resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, hard))

    def fill(self):
        pass

    def free(self, broker):
        if broker.process.poll() is None:
            _, hard = resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture
def disk(tmp_path) -> Iterator[SmallDisk | FileLimit]:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    try:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(mounted)]
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        if not hasattr(resource, "prlimit"):
            pytest.skip("no file system may be mounted here, and no limit set to another process")
        yield FileLimit(tmp_path)
        return
    try:
        yield SmallDisk(mounted / "disk")
    finally:
        # Lazily: a broker that a failed test has left must not keep the mount for ever.
        subprocess.run(["umount", "-l", str(mounted)], check=True)


class Publisher:
    """Sends persistent messages that are numbered from 0, and knows which of them were confirmed."""

    def __init__(self, port, arguments=None):
        self.client = LoadClient(port, capabilities=("connection.blocked",))
        self.client.declare("q", durable=True, arguments=arguments or {})
        self.client.call("confirm.select", "confirm.select-ok")
        self.events = events_of(self.client)
        self.sent = 0
        self.confirmed: set[int] = set()
        self.refused: set[int] = set()
        self.told: list[tuple[str, str]] = []

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.client.socket.close()

    def send(self):
        self.client.send(published("q", b"%d " % self.sent + b"x" * SIZE, delivery_mode=2))
        self.sent += 1

    def hear(self):
        """Record the next event: a block, the end of one, or a confirm."""
        event = next(self.events)
        if event.name in ("connection.blocked", "connection.unblocked"):
            self.told.append((event.name, event.arguments.get("reason", "")))
            return
        assert event.name in ("basic.ack", "basic.nack"), event
        last = event.arguments["delivery_tag"] - 1
        outstanding = self.outstanding()
        numbers = [number for number in outstanding if number <= last] if event.arguments["multiple"] else [last]
        (self.confirmed if event.name == "basic.ack" else self.refused).update(numbers)

    def hears(self):
        """Hear what comes next, if that is soon."""
        self.client.socket.settimeout(IDLE_S)
        try:
            self.hear()
        except TimeoutError:
            self.events = events_of(self.client)
            return False
        finally:
            self.client.socket.settimeout(TIMEOUT_S)
        return True

    def outstanding(self):
        return [number for number in range(self.sent) if number not in self.confirmed | self.refused]

    def fill(self):
        """Publish until the broker says that it takes no more, or refuses."""
        while not self.told and not self.refused:
            assert self.sent < MOST, "the disk is not full at all"
            # One that only waits is not told: the broker tells those that publish.
            if len(self.outstanding()) < WINDOW or not self.hears():
                self.send()


def started(tmp_path, disk, in_order=True, more=("--set", "disk_free_limit.absolute=0")):
    directory = tmp_path / f"broker{len(list(tmp_path.iterdir()))}"
    directory.mkdir()
    # A disk of this size has less free space than the usual limit from the start.
    return BrokerProcess(directory, "--data-dir", str(disk.data), *more, in_order=in_order)


def everything(port):
    """The numbers of all messages in the queue, in their order."""
    with LoadClient(port) as client:
        left = client.depth("q")
        client.send(request("basic.consume", queue="q", no_ack=True))
        events = events_of(client)
        assert next(events).name == "basic.consume-ok"
        bodies = [next(events).body for _ in range(left)]
    assert all(len(body.partition(b" ")[2]) == SIZE for body in bodies)
    return [int(body.partition(b" ")[0]) for body in bodies]


def check(numbers, publisher):
    """Everything confirmed is there, in order, and nothing twice."""
    assert numbers == sorted(set(numbers))
    assert publisher.confirmed - set(numbers) == set()
    assert publisher.refused & set(numbers) == set()
    assert len(publisher.confirmed) > 50


def test_publishers_are_blocked_until_the_full_disk_has_free_space(tmp_path, disk):
    with started(tmp_path, disk) as broker, Publisher(broker.port) as publisher:
        disk.limit(broker)
        publisher.fill()
        assert publisher.told == [("connection.blocked", "low on disk")]
        broker.wait_for_log("disk resource limit alarm set")
        assert "No space left on device" in broker.log or "File too large" in broker.log
        with LoadClient(broker.port) as other:
            # Operations that write nothing to the disk continue.
            assert other.depth("q") > 50
            got = other.call("basic.get", "basic.get-ok", queue="q")
            assert got["delivery_tag"] == 1
        disk.free(broker)
        while publisher.told[-1][0] != "connection.unblocked" or publisher.outstanding():
            publisher.hear()
        for _ in range(WINDOW):
            publisher.send()
        while publisher.outstanding():
            publisher.hear()
        assert publisher.refused == set()
        broker.wait_for_log("disk resource limit alarm cleared")
    with started(tmp_path, disk) as broker:
        check(everything(broker.port), publisher)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_confirmed_messages_survive_a_stop_with_a_full_disk(tmp_path, disk, how):
    with started(tmp_path, disk, in_order=False) as broker, Publisher(broker.port) as publisher:
        disk.limit(broker)
        publisher.fill()
        # The space that the broker frees when it ends must not suffice for the pending messages.
        disk.fill()
        if how == signal.SIGTERM:
            # It would be waited for: a blocked one does not answer.
            publisher.client.socket.close()
        broker.signal(how)
        assert broker.wait() == (-signal.SIGKILL if how == signal.SIGKILL else 1), broker.log
        if how == signal.SIGKILL:
            with contextlib.suppress(ConnectionError):
                while True:
                    publisher.hear()
        else:
            assert "not confirmed, are lost" in broker.log
        assert "Traceback" not in broker.log
        disk.free(broker)
    with started(tmp_path, disk) as broker:
        check(everything(broker.port), publisher)


# --- streams ----------------------------------------------------------------------------------------------------------


def stream_on(disk):
    """Return the arguments of a stream of many segments, or of one if files have a limit."""
    size = 1_000_000_000 if isinstance(disk, FileLimit) else 500_000
    return {"x-queue-type": longstr("stream"), "x-stream-max-segment-size-bytes": Field("I", size)}


def read(port):
    """Return the numbers of all messages in the stream, in their order. Their offsets have no gap."""
    with LoadClient(port) as client:
        left = client.depth("q")
        client.call("basic.qos", "basic.qos-ok", prefetch_count=1000)
        client.send(request("basic.consume", queue="q", arguments={"x-stream-offset": longstr("first")}))
        events = events_of(client)
        assert next(events).name == "basic.consume-ok"
        found = [next(events) for _ in range(left)]
        client.call("basic.cancel", "basic.cancel-ok", consumer_tag=found[0].arguments["consumer_tag"])
    assert [offset_of(each) for each in found] == list(range(left))
    assert all(len(each.body.partition(b" ")[2]) == SIZE for each in found)
    return [int(each.body.partition(b" ")[0]) for each in found]


def test_publishers_of_a_stream_are_blocked_until_the_full_disk_has_free_space(tmp_path, disk):
    with started(tmp_path, disk) as broker, Publisher(broker.port, stream_on(disk)) as publisher:
        disk.limit(broker)
        publisher.fill()
        assert publisher.told == [("connection.blocked", "low on disk")]
        broker.wait_for_log("disk resource limit alarm set")
        # Consumers read what is stored.
        with LoadClient(broker.port) as client:
            client.call("basic.qos", "basic.qos-ok", prefetch_count=1000)
            client.send(request("basic.consume", queue="q", arguments={"x-stream-offset": longstr("first")}))
            events = events_of(client)
            assert [next(events).name for _ in range(51)][1:] == ["basic.deliver"] * 50
        disk.free(broker)
        while publisher.told[-1][0] != "connection.unblocked" or publisher.outstanding():
            publisher.hear()
        for _ in range(WINDOW):
            publisher.send()
        while publisher.outstanding():
            publisher.hear()
        assert publisher.refused == set()
        broker.wait_for_log("disk resource limit alarm cleared")
        assert read(broker.port) == list(range(publisher.sent))
    with started(tmp_path, disk) as broker:
        numbers = read(broker.port)
        check(numbers, publisher)
        assert numbers == list(range(publisher.sent))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_confirmed_messages_of_a_stream_survive_a_stop_with_a_full_disk(tmp_path, disk, how):
    with started(tmp_path, disk, in_order=False) as broker, Publisher(broker.port, stream_on(disk)) as publisher:
        disk.limit(broker)
        publisher.fill()
        disk.fill()
        if how == signal.SIGTERM:
            publisher.client.socket.close()
        broker.signal(how)
        assert broker.wait() == (-signal.SIGKILL if how == signal.SIGKILL else 1), broker.log
        if how == signal.SIGKILL:
            with contextlib.suppress(ConnectionError):
                while True:
                    publisher.hear()
        assert "Traceback" not in broker.log
        disk.free(broker)
    with started(tmp_path, disk) as broker, Publisher(broker.port, stream_on(disk)) as other:
        numbers = read(broker.port)
        check(numbers, publisher)
        other.sent = publisher.sent
        other.send()
        other.hear()
        assert read(broker.port) == [*numbers, publisher.sent]


# --- definitions ------------------------------------------------------------------------------------------------------

REFUSED = "RESOURCE_ERROR - the change cannot be stored: "


def declared(broker, queue):
    """Declare a durable queue; return the reply text of connection.close if it is refused, else None."""
    with LoadClient(broker.port) as client:
        client.send(request("queue.declare", queue=queue, durable=True))
        answer = next(events_of(client))
    if answer.name == "queue.declare-ok":
        return None
    assert (answer.name, answer.arguments["reply_code"]) == ("connection.close", 506)
    return answer.arguments["reply_text"]


def declared_until_refused(broker, prefix):
    """Declare queues until one is refused; return the names of the others."""
    names = []
    while (refused := declared(broker, f"{prefix}{len(names)}")) is None:
        names.append(f"{prefix}{len(names)}")
        assert len(names) < MOST, "the disk is not full at all"
    assert refused.startswith(REFUSED)
    return names


def test_full_disk_refuses_only_changes_of_definitions(tmp_path, disk):
    if isinstance(disk, FileLimit):
        pytest.skip("no file system may be mounted here")
    with started(tmp_path, disk) as broker:
        assert declared(broker, "q") is None
        disk.fill()
        before = declared_until_refused(broker, "before")
        with LoadClient(broker.port) as client:
            client.send(published("q", b"transient"))
            assert client.call("basic.get", "basic.get-ok", queue="q", no_ack=True)["routing_key"] == "q"
            client.declare("not durable")
        disk.free(broker)
        assert declared(broker, "after") is None
    with started(tmp_path, disk) as broker, LoadClient(broker.port) as client:
        assert [client.depth(name) for name in ("q", *before, "after")] == [0] * (len(before) + 2)


def churn(client, pairs):
    """Declare and delete so many queues; return the reply text of connection.close if the broker refuses, else None."""
    names = [f"churn{number}" for number in range(pairs)]
    client.send(
        b"".join(
            [request("queue.declare", queue=name, durable=True) + request("queue.delete", queue=name) for name in names]
        )
    )
    for event in itertools.islice(events_of(client), 2 * pairs):
        if event.name == "connection.close":
            return event.arguments["reply_text"]
    return None


def test_endless_changes_of_definitions_do_not_fill_the_disk(tmp_path, disk):
    if isinstance(disk, FileLimit):
        pytest.skip("no file system may be mounted here")
    disk.grow(BALLAST_BYTES + BOUNDS.full_log_bytes + (2 << 20))
    with started(tmp_path, disk) as broker, LoadClient(broker.port) as client:
        for _ in range(20):
            # Each adds 2 MB to the log.
            assert churn(client, 100) is None


def test_definitions_log_that_filled_the_disk_is_emptied(tmp_path, disk):
    if isinstance(disk, FileLimit):
        pytest.skip("no file system may be mounted here")
    with started(tmp_path, disk) as broker:
        # The free space is smaller than the limit of the log.
        with LoadClient(broker.port) as client:
            assert churn(client, 1_000).startswith(REFUSED)
        for number in range(20):
            assert declared(broker, f"q{number}") is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_broker_starts_on_a_full_disk(tmp_path, disk, how):
    if isinstance(disk, FileLimit):
        pytest.skip("no file system may be mounted here")
    with started(tmp_path, disk, in_order=False) as broker, LoadClient(broker.port) as client:
        # Declare more than the database contains, so that the log cannot be moved into it when it is opened.
        for number in range(150):
            client.declare(f"q{number}", durable=True)
        client.call("confirm.select", "confirm.select-ok")
        client.send(published("q0", b"kept", delivery_mode=2))
        client.expect("basic.ack")
        disk.fill()
        broker.signal(how)
        broker.wait()
        assert "Traceback" not in broker.log
    disk.fill()
    limit = ("--set", "disk_free_limit.absolute=100kB")
    with started(tmp_path, disk, more=limit) as broker:
        broker.wait_for_log("Free disk space is insufficient")
        with LoadClient(broker.port) as client:
            assert client.depth("q149") == 0
            assert client.call("basic.get", "basic.get-ok", queue="q0", no_ack=True)["message_count"] == 0
        # Moving the log into the database frees space for some definitions.
        new = declared_until_refused(broker, "new")
        disk.free(broker)
        broker.wait_for_log("Free disk space is sufficient")
        assert declared(broker, "after") is None
    with started(tmp_path, disk) as broker, LoadClient(broker.port) as client:
        assert [client.depth(name) for name in ("q149", *new, "after")] == [0] * (len(new) + 2)
