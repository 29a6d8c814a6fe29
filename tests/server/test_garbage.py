"""Objects that a broker creates often are freed by their reference counts: under the calmed collector a cycle stays for
long (docs/decisions/0007-garbage-collector.md).

Each object is created and destroyed many times without the collector. Objects whose number has grown afterwards are
garbage, or kept.
"""

import base64
import contextlib
import gc
import http.client
import json
import logging
import socket
import ssl
import time
import types
from collections import Counter
from urllib.parse import quote, urlsplit

import pytest

from amqpbroker.clock import Timer
from amqpbroker.server.protocols import AMQPS, METRICS
from amqpbroker.testing import Broker
from amqpbroker.wire.frames import content
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.certificates import Authority
from tests.testing.faults.raw import HEADER, Client, method, publish

pytestmark = pytest.mark.explore

# Without uvloop, the transports of asyncio refer to themselves.
pytest.importorskip("uvloop")

#: Repetitions of each use: first for objects that are created once, such as caches, then the counted ones.
WARM, TIMES = 3, 12

#: Maximum seconds to wait for a server's reaction to a client that has disconnected.
PATIENCE_S = 10

#: Modules whose objects must not be left over, except messages and errors that the testing API remembers.
OURS = ("amqpbroker.", "uvloop.", "uvicorn.", "h11.", "asyncio.", "_asyncio", "ssl", "_ssl", "contextlib")
NOT_OURS = ("amqpbroker.testing.",)

AUTHORIZATION = {"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode()}


class Site:
    """A broker with all its listeners, and a client that stays."""

    def __init__(self, broker, authority):
        self.broker = broker
        self.context = ssl.create_default_context(cafile=authority.cafile)
        self.context.check_hostname = False
        self.number = 0

    def port(self, protocol):
        return next(each.port for each in self.broker._host.listening if each.protocol == protocol)

    def client(self, **options):
        return Client(self.broker, **options)

    def run(self, function):
        """Call `function(broker)` in the broker's thread."""
        return self.broker._call(lambda instance: function(instance.broker))

    def http(self, verb, path, body=None, authorization=AUTHORIZATION):
        connection = http.client.HTTPConnection(*urlsplit(self.broker.http_url).netloc.split(":"), timeout=PATIENCE_S)
        try:
            connection.request(verb, f"/api/{path}", None if body is None else json.dumps(body), authorization)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw_http(self, data):
        """Send the data, and close without waiting for the complete answer."""
        with socket.create_connection((self.broker.host, urlsplit(self.broker.http_url).port)) as sock:
            sock.sendall(data)
            sock.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                sock.recv(100)

    def shovel(self, until, **value):
        """Run a shovel until its states are as given, and delete it unless it has ended by itself."""
        value = {"src-uri": "amqp://", "src-queue": "out", "dest-uri": "amqp://", "dest-queue": "in", **value}
        value = {key.replace("_", "-"): each for key, each in value.items()}
        self.run(lambda broker: broker.parameters.put("shovel", "/", "s", value))
        self.until(lambda: [status.state for status in self.run(lambda broker: broker.shovels.statuses())] == until)
        if until:
            self.run(lambda broker: broker.parameters.delete("shovel", "/", "s"))

    def until(self, look):
        end = time.monotonic() + PATIENCE_S
        while not look():
            assert time.monotonic() < end
            time.sleep(0.001)

    def at_rest(self):
        """Wait until all clients and shovels are gone, from the event loop too."""
        self.until(lambda: not self.broker._call(lambda instance: instance.server.clients.there()))
        time.sleep(0.02)
        self.broker.queues()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("tls"))
    issued = authority.issue("server")
    options = {
        "listeners": {"ssl": {"default": "127.0.0.1:0"}},
        "ssl_options": {"certfile": issued.certfile, "keyfile": issued.keyfile},
        "prometheus": {"tcp": {"port": 0}},
        # A round of samples between the two counts would count as left over.
        "collect_statistics_interval": 3_600_000,
    }
    logging.disable()  # pytest keeps the records, with their arguments
    with Broker(management=True, **options) as broker:
        broker._call(lambda instance: instance.broker.untap(instance.recorder))  # the recorder remembers messages
        site = Site(broker, authority)
        # Objects that serve HTTP are created on a thread when the first client connects.
        site.http("GET", "overview")
        scrape(site)
        # Older objects are not counted, which would take most of the time of each test.
        gc.collect()
        gc.freeze()
        yield site
    logging.disable(logging.NOTSET)


def kind(each):
    """Return the kind of an object if it is ours, else an empty string."""
    if isinstance(each, types.FunctionType):
        name = f"{each.__module__}.{each.__qualname__}"
    elif isinstance(each, types.MethodType):
        name = f"{type(each.__self__).__module__}.{type(each.__self__).__qualname__}.{each.__name__}"
    elif isinstance(each, types.FrameType):
        code = each.f_code
        name = f"amqpbroker. frame of {code.co_qualname}" if "/amqpbroker/" in code.co_filename else ""
    elif isinstance(each, types.CoroutineType):
        name = f"asyncio. coroutine {each.__qualname__}"
    elif isinstance(each, Timer) and each.callback is None:
        name = ""  # a cancelled timer refers to nothing, and leaves the clock's heap with others
    else:
        name = f"{type(each).__module__}.{type(each).__qualname__}"
    return name if name.startswith(OURS) and not name.startswith(NOT_OURS) else ""


def living():
    return Counter(map(kind, gc.get_objects()))


def left_over(site, use, times=TIMES, rests=True):
    """Count objects left over by repeated calls of `use(site)`. rests: no client is connected before and after."""
    for _ in range(WARM):
        use(site)
    if rests:
        site.at_rest()
    gc.collect()
    gc.disable()
    try:
        before = living()
        for _ in range(times):
            use(site)
        if rests:
            site.at_rest()
        more = living() - before
    finally:
        gc.enable()
    return {name: count for name, count in more.items() if name and count >= times // 2}


# --- clients --------------------------------------------------------------------------------------------------------


def refused_header(site):
    client = site.client(greeted=False)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    client.end()
    client.close()


def gone_at_once(site):
    site.client(greeted=False).close()


def wrong_password(site):
    client = site.client(greeted=False)
    client.send(HEADER)
    client.expect("connection.start")
    client.send(method(0, "connection.start-ok", mechanism="PLAIN", response=b"\0guest\0no", locale="en_US"))
    client.close()


def good_bye(client):
    client.send(method(0, "connection.close", reply_code=200))
    client.expect("connection.close-ok")
    client.close()


def opened_and_closed(site):
    good_bye(site.client(heartbeat=10))


def dropped(site):
    site.client(heartbeat=10).close()


def over_tls(site):
    client = site.client(tls=site.context, port=site.port(AMQPS))
    client.call("queue.declare", queue="q", exclusive=True)
    client.send(publish(bytes(100_000)))
    good_bye(client)


def dropped_over_tls(site):
    site.client(tls=site.context, port=site.port(AMQPS)).close()


def handshake_that_fails(site):
    with socket.create_connection((site.broker.host, site.port(AMQPS))) as sock:
        sock.sendall(b"no TLS at all")
        sock.settimeout(PATIENCE_S)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(100):
                pass


def handshake_given_up(site):
    socket.create_connection((site.broker.host, site.port(AMQPS))).close()


def channels(site):
    client = site.client()
    for _ in range(3):
        client.call("channel.close", reply_code=200)
        client.call("channel.open")
    good_bye(client)


def channel_error(site):
    client = site.client()
    client.send(method(1, "queue.declare", queue="none", passive=True))
    client.expect("channel.close")
    good_bye(client)


def connection_error(site):
    client = site.client()
    client.send(method(0, "connection.tune-ok"))
    client.expect("connection.close")
    client.close()


def torn(site):
    client = site.client()
    client.send(b"\1\0\1\0\0\0\4\0\xff\0\xff\0")
    client.expect("connection.close")
    client.close()


def closed_by_an_operator(site):
    client = site.client()
    (connection,) = json.loads(site.http("GET", "connections")[1])
    assert site.http("DELETE", f"connections/{quote(connection['name'], safe='')}")[0] == 204
    client.expect("connection.close")
    client.close()


def deleted_user(site):
    site.http("PUT", "users/u", {"password": "p", "tags": "monitoring"})
    site.http("GET", "overview", None, {"Authorization": "Basic " + base64.b64encode(b"u:p").decode()})
    site.http("DELETE", "users/u")


# --- operations of clients ------------------------------------------------------------------------------------------


def unacknowledged(site, kind="classic", cancel=False):
    queue = f"un-{kind}"
    with contextlib.closing(site.client()) as client:
        client.call("queue.declare", queue=queue, durable=True, arguments={"x-queue-type": longstr(kind)})
        client.call("queue.purge", queue=queue)
        client.send(publish(b"x", queue) * 3 + method(1, "basic.consume", queue=queue, consumer_tag="c"))
        client.expect("basic.consume-ok")
        for _ in range(9):
            client.read()
        if cancel:
            client.call("basic.cancel", consumer_tag="c")
    site.until(lambda: not site.broker._call(lambda instance: instance.server.clients.there()))
    with contextlib.closing(site.client()) as client:
        client.call("queue.purge", queue=queue)


def deleted_while_unacknowledged(site, kind="classic"):
    with contextlib.closing(site.client()) as client:
        client.call("queue.declare", queue="du", durable=True, arguments={"x-queue-type": longstr(kind)})
        client.send(publish(b"x", "du") * 3 + method(1, "basic.consume", queue="du", consumer_tag="c"))
        client.expect("basic.consume-ok")
        for _ in range(9):
            client.read()
        client.call("basic.cancel", consumer_tag="c")
        client.call("queue.delete", queue="du")


def got_and_kept(site):
    client = site.client()
    client.call("queue.declare", queue="g", exclusive=True)
    client.send(publish(b"x", "g") + method(1, "basic.get", queue="g"))
    client.expect("basic.get-ok")
    client.close()


def transaction(site, ends=()):
    client = site.client()
    client.call("queue.declare", queue="t", exclusive=True)
    client.send(publish(b"x", "t") + method(1, "basic.get", queue="t"))
    client.expect("basic.get-ok")
    client.read()
    client.read()
    client.call("tx.select")
    client.send(publish(b"x", "t") * 3 + method(1, "basic.ack", delivery_tag=1))
    for end in ends:
        client.call(end)
    client.call("queue.declare", queue="t", exclusive=True)
    client.close()


def confirms(site):
    client = site.client()
    client.call("confirm.select")
    client.send(publish(b"x", "nowhere") * 3)
    client.expect("basic.ack")
    client.close()


def direct_reply(site):
    client = site.client()
    client.call("basic.consume", queue="amq.rabbitmq.reply-to", no_ack=True)
    client.close()


def half_a_body(site):
    client = site.client()
    client.send(publish(bytes(500_000))[:-1000])
    client.close()


# --- declarations ---------------------------------------------------------------------------------------------------

QUEUES = {
    "classic": {},
    "quorum": {"x-queue-type": longstr("quorum")},
    "priority": {"x-max-priority": Field("I", 5)},
    "ttl": {"x-message-ttl": Field("I", 600_000), "x-expires": Field("I", 600_000)},
    "short": {"x-max-length": Field("I", 2), "x-dead-letter-exchange": longstr("amq.fanout")},
    "single": {"x-single-active-consumer": Field("t", True)},
}


def queue(site, arguments):
    with contextlib.closing(site.client()) as client:
        client.call("queue.declare", queue="k", durable=True, arguments=arguments)
        for exchange in ("amq.fanout", "amq.topic", "amq.headers", "amq.direct"):
            client.call("queue.bind", queue="k", exchange=exchange, routing_key="a.#", arguments={"h": longstr("v")})
        client.send(publish(b"x", "k") * 5 + method(1, "basic.consume", queue="k", consumer_tag="c"))
        client.expect("basic.consume-ok")
        client.send(method(1, "queue.delete", queue="k"))
        while client.read()[0] != "queue.delete-ok":
            pass


EXCHANGES = {
    "direct": {},
    "fanout": {},
    "topic": {},
    "headers": {},
    "x-random": {},
    "x-local-random": {},
    "x-consistent-hash": {},
    "x-delayed-message": {"x-delayed-type": longstr("headers")},
}


def exchange(site, kind):
    key = "" if kind == "x-local-random" else "1"
    with contextlib.closing(site.client()) as client:
        for name in ("e", "f"):
            client.call("exchange.declare", exchange=name, exchange_type=kind, arguments=EXCHANGES[kind])
        client.call("queue.declare", queue="eq", exclusive=True)
        client.call("queue.bind", queue="eq", exchange="e", routing_key=key)
        for source, destination in (("e", "f"), ("f", "e"), ("e", "e")):
            client.call("exchange.bind", source=source, destination=destination, routing_key=key)
        head = method(1, "basic.publish", exchange="e", routing_key=key)
        client.send(head + content(1, encode_properties({"headers": {"x-delay": Field("I", 600_000)}}), b"x", 131072))
        client.call("exchange.delete", exchange="e")
        client.call("exchange.delete", exchange="f")


def vhost(site):
    assert site.http("PUT", "vhosts/v", {})[0] < 300
    site.http("PUT", "exchanges/v/late", {"type": "x-delayed-message", "arguments": {"x-delayed-type": "topic"}})
    site.http("POST", "bindings/v/e/amq.topic/e/late", {"routing_key": "a"})
    for kind in ("classic", "quorum"):
        site.http("PUT", f"queues/v/{kind}", {"durable": True, "arguments": {"x-queue-type": kind}})
        site.http("POST", f"bindings/v/e/late/q/{kind}", {"routing_key": "a"})
        message = {"properties": {}, "payload": "x", "payload_encoding": "string", "routing_key": kind}
        assert site.http("POST", "exchanges/v/amq.default/publish", message) == (200, b'{"routed":true}')
    held = {**message, "properties": {"headers": {"x-delay": 600_000}}, "routing_key": "a"}
    assert site.http("POST", "exchanges/v/late/publish", held)[0] == 200
    assert site.http("DELETE", "vhosts/v")[0] == 204


def policy(site):
    site.http("PUT", "policies/%2F/p", {"pattern": "x", "definition": {"max-length": 3}})
    site.http("DELETE", "policies/%2F/p")


def firehose(site):
    site.http("PUT", "vhosts/%2F", {"tracing": True})
    with contextlib.closing(site.client()) as client:
        client.call("queue.declare", queue="traces", exclusive=True)
        client.call("queue.bind", queue="traces", exchange="amq.rabbitmq.trace", routing_key="#")
        client.send(publish(b"x", "nowhere") * 3)
    site.http("PUT", "vhosts/%2F", {"tracing": False})


# --- HTTP -----------------------------------------------------------------------------------------------------------


def tail(site):
    """Send the requests of amqpbroker-ctl tail."""
    arguments = {"x-max-length": 1000, "x-expires": 60_000}
    site.http("PUT", "queues/%2F/tail", {"durable": True, "arguments": arguments})
    site.http("POST", "bindings/%2F/e/amq.topic/q/tail", {"routing_key": "#"})
    message = {"properties": {}, "payload": "x", "payload_encoding": "string", "routing_key": "a"}
    site.http("POST", "exchanges/%2F/amq.topic/publish", message)
    body = {"count": 100, "ackmode": "ack_requeue_false", "encoding": "auto"}
    assert json.loads(site.http("POST", "queues/%2F/tail/get", body)[1])[0]["payload"] == "x"
    site.http("DELETE", "queues/%2F/tail")


LISTS = "overview queues exchanges connections channels consumers bindings nodes vhosts users definitions permissions"


def lists(site):
    with contextlib.closing(site.client()):
        for path in LISTS.split():
            assert site.http("GET", path)[0] == 200


def refused(site):
    assert site.http("GET", "queues/%2F/none")[0] == 404
    assert site.http("GET", "overview", None, {})[0] == 401
    assert site.http("PUT", "vhosts/v", [])[0] == 400


def no_http(site):
    site.raw_http(b"nonsense\r\n\r\n")


def half_a_request(site):
    site.raw_http(b"PUT /api/queues/%2F/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")


def answer_not_waited_for(site):
    with socket.create_connection((site.broker.host, urlsplit(site.broker.http_url).port)) as sock:
        sock.sendall(b"GET /api/definitions HTTP/1.1\r\nHost: x\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n")


def scrape(site):
    for path in ("/metrics", "/metrics/per-object", "/metrics/detailed?family=queue_coarse_metrics"):
        connection = http.client.HTTPConnection(site.broker.host, site.port(METRICS), timeout=PATIENCE_S)
        connection.request("GET", path)
        assert connection.getresponse().read()
        connection.close()


# --- shovels --------------------------------------------------------------------------------------------------------


def healthy_shovel(site):
    site.shovel(["running"])


def shovel_over_tcp(site):
    site.shovel(["running"], src_uri=site.broker.url, dest_uri=site.broker.url)


def shovel_that_transfers(site):
    with contextlib.closing(site.client()) as client:
        client.call("queue.declare", queue="out", durable=True)
        client.send(publish(b"x", "out") * 3)
        client.call("queue.declare", queue="out", durable=True)
    site.shovel([], src_delete_after="queue-length")
    with contextlib.closing(site.client()) as client:
        assert client.call("queue.purge", queue="in")["message_count"] == 3


def shovel_whose_destination_is_down(site):
    site.shovel(["terminated"], dest_uri="amqp://127.0.0.1:1", reconnect_delay=0.001)


def shovel_whose_destination_refuses_it(site):
    site.shovel(["terminated"], dest_uri="amqp:///none", reconnect_delay=100)


def shovel_without_a_queue(site):
    site.shovel(["terminated"], src_queue="none", src_predeclared=True, reconnect_delay=100)


def shovel_whose_queue_goes(site):
    with contextlib.closing(site.client()) as client:
        client.call("queue.declare", queue="out", durable=True)
    value = {"src-uri": "amqp://", "src-queue": "out", "dest-uri": "amqp://", "dest-queue": "in", "reconnect-delay": 60}
    site.run(lambda broker: broker.parameters.put("shovel", "/", "s", value))
    states = lambda: [status.state for status in site.run(lambda broker: broker.shovels.statuses())]  # noqa: E731
    site.until(lambda: states() == ["running"])
    site.http("DELETE", "queues/%2F/out")
    site.until(lambda: states() == ["terminated"])
    site.run(lambda broker: broker.parameters.delete("shovel", "/", "s"))


def uses():
    for use in (
        refused_header,
        gone_at_once,
        wrong_password,
        opened_and_closed,
        dropped,
        over_tls,
        dropped_over_tls,
        handshake_that_fails,
        handshake_given_up,
        channels,
        channel_error,
        connection_error,
        torn,
        closed_by_an_operator,
        deleted_user,
        got_and_kept,
        confirms,
        direct_reply,
        half_a_body,
        vhost,
        policy,
        firehose,
        tail,
        lists,
        refused,
        no_http,
        half_a_request,
        answer_not_waited_for,
        scrape,
        healthy_shovel,
        shovel_over_tcp,
        shovel_that_transfers,
        shovel_whose_destination_is_down,
        shovel_whose_destination_refuses_it,
        shovel_without_a_queue,
        shovel_whose_queue_goes,
    ):
        yield pytest.param(use, id=use.__name__)
    for kind in ("classic", "quorum"):
        yield pytest.param(lambda site, kind=kind: unacknowledged(site, kind), id=f"unacknowledged-{kind}")
        yield pytest.param(lambda site, kind=kind: unacknowledged(site, kind, True), id=f"cancelled-{kind}")
        yield pytest.param(lambda site, kind=kind: deleted_while_unacknowledged(site, kind), id=f"deleted-{kind}")
    for ends in ((), ("tx.commit",), ("tx.rollback",)):
        yield pytest.param(lambda site, ends=ends: transaction(site, ends), id=f"transaction-{'-'.join(ends)}")
    for name, arguments in QUEUES.items():
        yield pytest.param(lambda site, arguments=arguments: queue(site, arguments), id=f"queue-{name}")
    for name in EXCHANGES:
        yield pytest.param(lambda site, name=name: exchange(site, name), id=f"exchange-{name}")


@pytest.mark.parametrize("use", list(uses()))
def test_no_objects_are_left_in_memory_after_each_kind_of_use(site, use):
    assert left_over(site, use) == {}


def test_shovel_retries_leave_no_objects_in_memory(site):
    """The shovel's destination is down, so that the shovel retries again and again."""
    value = {"src-uri": "amqp://", "src-queue": "out", "dest-uri": "amqp://127.0.0.1:1", "reconnect-delay": 0.001}
    site.run(lambda broker: broker.parameters.put("shovel", "/", "s", {**value, "dest-queue": "in"}))

    def changes():
        (status,) = site.run(lambda broker: broker.shovels.statuses())
        return status.state, status.since_ms

    def retry(_):
        known = changes()
        site.until(lambda: changes() != known)

    try:
        more = left_over(site, retry, 100, rests=False)
    finally:
        site.run(lambda broker: broker.parameters.delete("shovel", "/", "s"))
        site.at_rest()
    assert more == {}
