"""Soak phases that create and remove connections, channels, consumers, topology, policies, users and vhosts."""

import socket
import urllib.request
from base64 import b64encode

from amqpbroker.broker.queues.arguments.redeclaration import KEPT
from amqpbroker.broker.redrive.redrives import KEPT as REDRIVES_KEPT
from amqpbroker.client.login import PROTOCOL_HEADER, Login
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import published
from tests.load.client import LoadClient, guest, request
from tests.soak.management import Management
from tests.soak.soak import MODES, Phase, Soak
from tests.soak.traffic import CHUNK, alike, consume, delete, publish

#: Twice the number of objects after which the garbage collector examines the youngest generation.
OBJECTS = 220_000
#: Twice the number of changes after which the definitions database is checkpointed.
CHANGES = 2_500
#: Twice the number of pairs of user and address whose failed logins are remembered.
GUESSES = 21_000
CONNECTIONS = 3_000
REQUESTS = 4_000
VHOSTS = 300


class _Refused(LoadClient):
    """A connection that the broker refuses. reply_code: of its connection.close."""

    def __init__(self, port: int, password: str = "guest") -> None:
        self._password = password
        self.reply_code = 0
        super().__init__(port)

    def _log_in(self, login: Login, vhost: str) -> Table:
        login = guest(("authentication_failure_close",), self._password)
        self.send(PROTOCOL_HEADER)
        start = self.expect("connection.start")
        self.send(login.start_ok(start))
        if self._password == "guest":
            tuned = login.tuned(self.expect("connection.tune"))
            self.send(tuned.frame() + request("connection.open", 0, virtual_host=vhost))
        self.reply_code = self.expect("connection.close")["reply_code"]
        self.send(request("connection.close-ok", 0))
        properties: Table = start["server_properties"]
        return properties


#: Data of clients that disconnect before the login. The broker answers the last slowly.
BEFORE_LOGIN = (
    b"",
    PROTOCOL_HEADER[:5],
    PROTOCOL_HEADER,
    PROTOCOL_HEADER + guest(password="wrong").start_ok({"mechanisms": b"PLAIN"}),
)


def connections(soak: Soak) -> None:
    """Open and end connections: some are closed properly, some dropped, some refused, some dropped before a login."""
    for i in range(soak.count(CONNECTIONS)):
        if i % 4 == 3:
            with socket.create_connection(("127.0.0.1", soak.port), 60) as nobody:
                nobody.sendall(BEFORE_LOGIN[i // 4 % len(BEFORE_LOGIN)])
                if i // 4 % len(BEFORE_LOGIN) > 1:
                    assert nobody.recv(1), "the broker does not begin a login"
        elif i % 4 == 2:
            with _Refused(soak.port, "wrong") as refused:
                assert refused.reply_code == 403, refused.reply_code
        else:
            client = soak.client()
            client.call("queue.declare", "queue.declare-ok", queue="", exclusive=True)
            if i % 2:
                client.close()
            else:
                client.socket.close()


def limited_connections(soak: Soak) -> None:
    """Reach the connection limit of a vhost repeatedly, and open more when some are closed."""
    most, limit = 5, "/vhost-limits/%2F/max-connections"
    soak.management.call("PUT", limit, {"value": most})
    for _ in range(soak.count(CONNECTIONS // most)):
        clients = [soak.client() for _ in range(most)]
        with _Refused(soak.port) as refused:
            assert refused.reply_code == 530, refused.reply_code
        for client in clients:
            client.close()
    soak.management.call("DELETE", limit)


def channels(soak: Soak) -> None:
    """Open channels with a consumer, confirm mode and a cached route, and close them."""
    count = soak.count(OBJECTS // 10)
    with soak.client() as client:
        client.declare("q")
        once = (
            request("channel.open", 2)
            + request("confirm.select", 2)
            + published("q", b"x", channel=2)
            + request("basic.consume", 2, queue="q", consumer_tag="c", no_ack=True)
            + request("channel.close", 2, reply_code=200, class_id=0, method_id=0)
        )
        client.pump((once for _ in range(count)), lambda: client.seen["channel.close-ok"] == count)
        delete(client, "q")
        client.close()


def consumers(soak: Soak) -> None:
    """Start and cancel consumers while messages arrive."""
    count = soak.count(OBJECTS // 4)
    with soak.client() as client:
        client.declare("q")
        once = request("basic.consume", queue="q", consumer_tag="c", no_ack=True) + published("q", b"x")
        once += request("basic.cancel", consumer_tag="c")
        client.pump((once for _ in range(count)), lambda: client.seen["basic.cancel-ok"] == count)
        delete(client, "q")
        client.close()


def topology(soak: Soak, durable: bool) -> None:
    """Declare, bind, unbind and delete queues and exchanges with new names each time."""
    count = soak.count(CHANGES if durable else OBJECTS // 10)

    def once(i: int) -> bytes:
        queue, exchange = f"queue-{i}", f"exchange-{i}"
        return (
            request("queue.declare", queue=queue, durable=durable)
            + request("exchange.declare", exchange=exchange, exchange_type="topic", durable=durable)
            + request("queue.bind", queue=queue, exchange=exchange, routing_key="a.#")
            + request("queue.bind", queue=queue, exchange="amq.topic", routing_key=f"{i}.*")
            + request("queue.unbind", queue=queue, exchange="amq.topic", routing_key=f"{i}.*")
            + request("exchange.delete", exchange=exchange)
            + request("queue.delete", queue=queue)
        )

    with soak.client() as client:
        client.pump((once(i) for i in range(count)), lambda: client.seen["queue.delete-ok"] == count)
        client.close()


def going_by_themselves(soak: Soak) -> None:
    """Declare queues and exchanges that are deleted when they are unused or expire, or with their connection."""
    count = soak.count(OBJECTS // 20)
    with soak.client() as client:

        def once(i: int) -> bytes:
            queue, exchange = f"auto-{i}", f"auto-exchange-{i}"
            return (
                request("queue.declare", queue=queue, auto_delete=True)
                + request("exchange.declare", exchange=exchange, exchange_type="fanout", auto_delete=True)
                + request("queue.bind", queue=queue, exchange=exchange)
                + request("basic.consume", queue=queue, consumer_tag="c")
                + request("basic.cancel", consumer_tag="c")
                + request("queue.declare", queue=f"brief-{i}", arguments={"x-expires": Field("I", 1)})
            )

        client.pump((once(i) for i in range(count)), lambda: client.seen["basic.cancel-ok"] == count)
        client.close()


# --- over HTTP --------------------------------------------------------------------------------------------------------


def policies(soak: Soak) -> None:
    """Set and clear policies and operator policies over fifty queues."""
    api = soak.management
    with soak.client() as client:
        queues = [f"under-policy-{i}" for i in range(50)]
        for queue in queues:
            client.declare(queue, durable=True)
        for i in range(soak.count(CHANGES // 5)):
            for kind, definition in (
                ("policies", {"max-length": 10 + i}),
                ("operator-policies", {"expires": 60_000 + i}),
            ):
                body = {"pattern": "^under-policy", "definition": definition, "apply-to": "queues", "priority": i % 9}
                api.call("PUT", f"/{kind}/%2F/limit-{i % 7}", body)
            if i % 7 == 6:
                for j in range(7):
                    api.call("DELETE", f"/policies/%2F/limit-{j}")
                    api.call("DELETE", f"/operator-policies/%2F/limit-{j}")
        for kind in ("policies", "operator-policies"):
            for policy in api.call("GET", f"/{kind}/%2F"):
                api.call("DELETE", f"/{kind}/%2F/{policy['name']}")
        delete(client, *queues)
        client.close()


def redeclared(soak: Soak) -> None:
    """Declare a queue again with more differences than are recorded with it."""
    api = soak.management
    api.call("PUT", "/policies/%2F/again", {"pattern": "^declared-again$", "definition": {"redeclare": "warn"}})
    with soak.client() as client:
        client.declare("declared-again", durable=True)
        for i in range(3 * KEPT):
            client.declare("declared-again", durable=True, arguments={"x-max-length": Field("I", i)})
        assert len(api.call("GET", "/queues/%2F/declared-again")["redeclared_with"]) == KEPT
        delete(client, "declared-again")
        client.close()
    api.call("DELETE", "/policies/%2F/again")


def redrives(soak: Soak) -> None:
    """Redrive a dead letter queue more often than is remembered, into a queue that keeps the last value of each key.

    All messages die again soon.
    """
    api, path = soak.management, "/queues/%2F/redriven.dlq/redrive"
    messages = 2 * soak.bounds.slice_count + 10
    body = b"x" * (2 * soak.bounds.slice_bytes // messages + 1)
    dead = {
        "x-message-ttl": Field("I", 1),
        "x-last-value-key": longstr("key"),
        "x-dead-letter-exchange": longstr(""),
        "x-dead-letter-routing-key": longstr("redriven.dlq"),
    }
    with soak.client() as client:
        client.declare("redriven.dlq", durable=True)
        client.declare("redriven", durable=True, arguments=dead)
        for i in range(messages):
            client.send(published("redriven", body, delivery_mode=2, headers={"key": longstr(str(i))}))
        for count in range(1, 3 * REDRIVES_KEPT):
            while client.depth("redriven.dlq") < messages:
                pass
            api.call("POST", path, {})
            while (tasks := api.call("GET", path))[0]["state"] == "RUNNING":
                pass
            assert (tasks[0]["moved"], len(tasks)) == (messages, min(count, REDRIVES_KEPT))
        delete(client, "redriven", "redriven.dlq")
        client.close()


def users(soak: Soak) -> None:
    """Add users with permissions and limits, log in, and delete them."""
    api = soak.management
    for i in range(soak.count(CHANGES // 5)):
        name = f"user-{i}"
        api.call("PUT", f"/users/{name}", {"password": "secret", "tags": "management"})
        api.call("PUT", f"/permissions/%2F/{name}", {"configure": f"^{i}", "write": ".*", "read": ".*"})
        api.call("PUT", f"/topic-permissions/%2F/{name}", {"exchange": "amq.topic", "write": f"^{i}", "read": ".*"})
        api.call("PUT", f"/user-limits/{name}/max-channels", {"value": 10})
        assert api.request("GET", "/whoami", user=name, password="secret")[0] == 200
        api.call("DELETE", f"/users/{name}")


def _message(delivery_mode: int) -> dict[str, object]:
    """Return the body of a request that publishes."""
    properties = {"delivery_mode": delivery_mode}
    return {"properties": properties, "routing_key": "q", "payload": "x", "payload_encoding": "string"}


def vhosts(soak: Soak) -> None:
    """Add vhosts with queues and messages, and delete them."""
    api = soak.management
    for i in range(soak.count(VHOSTS)):
        vhost = f"vhost-{i}"
        api.call("PUT", f"/vhosts/{vhost}")
        api.call("PUT", f"/permissions/{vhost}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
        api.call("PUT", f"/queues/{vhost}/q", {"durable": True})
        for kept in MODES[i % len(MODES)].delivery_modes:
            assert api.call("POST", f"/exchanges/{vhost}/amq.default/publish", _message(kept))["routed"]
        api.call("DELETE", f"/vhosts/{vhost}")


def messages_over_http(soak: Soak) -> None:
    """Publish and get over HTTP, list everything, and read the metrics."""
    api = soak.management
    api.call("PUT", "/queues/%2F/q", {"durable": True})
    for i in range(soak.count(REQUESTS)):
        kinds = MODES[i // 10 % len(MODES)].delivery_modes
        assert api.call("POST", "/exchanges/%2F/amq.default/publish", _message(kinds[i % len(kinds)]))["routed"]
        if i % 10 == 9:
            wanted = {"count": 10, "ackmode": "ack_requeue_false", "encoding": "auto"}
            found = api.call("POST", "/queues/%2F/q/get", wanted)
            assert [message["properties"]["delivery_mode"] for message in found] == [*kinds] * (10 // len(kinds))
        if i % 50 == 0:
            for path in (
                "overview",
                "nodes",
                "connections",
                "channels",
                "queues",
                "exchanges",
                "bindings",
                "consumers",
            ):
                api.call("GET", f"/{path}")
            with urllib.request.urlopen(f"http://127.0.0.1:{soak.metrics_port}/metrics") as answer:
                answer.read()
    api.call("DELETE", "/queues/%2F/q")


def guesses(soak: Soak) -> None:
    """Guess the password of a user from more addresses than are remembered, through a proxy."""
    soak.management.call("PUT", "/users/guessed", {"password": "secret", "tags": "management"})
    head = b"GET /api/whoami HTTP/1.1\r\nHost: proxy\r\nAuthorization: Basic %b\r\nX-Forwarded-For: 10.%d.%d.%d\r\n\r\n"
    login = b64encode(b"guessed:wrong")
    most, count = soak.bounds.guesses, soak.count(GUESSES)
    with socket.create_connection(("127.0.0.1", soak.management.port), 60) as proxy:
        for start in range(0, count, CHUNK):
            some = range(start, min(start + CHUNK, count))
            proxy.sendall(b"".join([head % (login, i >> 16, i >> 8 & 255, i & 255) for i in some]))
            answers = b""
            while answers.count(b"HTTP/1.1 401") < len(some):
                answers += proxy.recv(1 << 16)
    assert min(count, most) <= soak.census()["LoginGuard._records[]"] <= most
    soak.management.call("DELETE", "/users/guessed")


def http_connections(soak: Soak) -> None:
    """Open connections to the HTTP API, and drop half of them in the middle of a request."""
    for i in range(soak.count(CONNECTIONS)):
        api = Management(soak.management.port)
        if i % 2:
            api.call("GET", "/whoami")
        else:
            api.start("PUT", "/users/nobody")
        api.close()


# --- observers --------------------------------------------------------------------------------------------------------


def tracing(soak: Soak) -> None:
    """Trace a vhost and consume the messages of the firehose."""
    count = soak.count(REQUESTS)
    with soak.client() as client, soak.client() as watcher:
        watcher.declare("trace", arguments={"x-max-length": Field("I", 1000)})
        watcher.call("queue.bind", "queue.bind-ok", queue="trace", exchange="amq.rabbitmq.trace", routing_key="#")
        for mode in MODES:
            soak.management.call("PUT", "/vhosts/%2F", {"tracing": True})
            client.declare("q")
            publish(client, alike(mode, "q", count), count)
            consume(client, "q", count)
            traced = min(2 * count, 1000)
            soak.until(lambda traced=traced: watcher.depth("trace") == traced, "publishes and deliveries are traced")
            watcher.call("queue.purge", "queue.purge-ok", queue="trace")
            soak.management.call("PUT", "/vhosts/%2F", {"tracing": False})
            delete(client, "q")
        delete(watcher, "trace")
        watcher.close()
        client.close()


def events(soak: Soak) -> None:
    """Consume the events of everything that is created and deleted."""
    with soak.client() as watcher:
        watcher.declare("events", arguments={"x-max-length": Field("I", 1000)})
        watcher.call("queue.bind", "queue.bind-ok", queue="events", exchange="amq.rabbitmq.event", routing_key="#")
        for drive in (lambda soak: topology(soak, durable=False), connections):
            drive(soak)
            soak.until(lambda: watcher.depth("events") > 0, "events arrive")
            watcher.call("queue.purge", "queue.purge-ok", queue="events")
        delete(watcher, "events")
        watcher.close()


def shovels(soak: Soak) -> None:
    """Move messages with short-lived shovels."""
    count = soak.count(REQUESTS)
    url = f"amqp://guest:guest@127.0.0.1:{soak.port}"
    with soak.client() as client:
        for mode in MODES:
            for i in range(max(3, soak.count(VHOSTS) // 10)):
                client.declare("from", durable=True)
                client.declare("to", durable=True)
                value = {
                    "src-protocol": "amqp091",
                    "src-uri": url,
                    "src-queue": "from",
                    "dest-protocol": "amqp091",
                    "dest-uri": url,
                    "dest-queue": "to",
                    "ack-mode": ("on-confirm", "on-publish", "no-ack")[i % 3],
                }
                soak.management.call("PUT", f"/parameters/shovel/%2F/shovel-{i}", {"value": value})
                publish(client, alike(mode, "from", count), count)
                consume(client, "to", count)
                soak.management.call("DELETE", f"/parameters/shovel/%2F/shovel-{i}")
                delete(client, "from", "to")
        client.close()


def unreachable(soak: Soak) -> None:
    """Delete shovels whose destination is not running: most while they connect, some later; one connects again."""
    for i in range(soak.count(VHOSTS)):
        value = {
            "src-protocol": "amqp091",
            "src-uri": f"amqp://guest:guest@127.0.0.1:{soak.port}",
            "src-queue": "from",
            "dest-protocol": "amqp091",
            "dest-uri": "amqp://127.0.0.1:1",
            "dest-queue": "to",
            "reconnect-delay": 1,
        }
        soak.management.call("PUT", f"/parameters/shovel/%2F/down-{i}", {"value": value})
        # The others are deleted while they still connect.
        if i % 10 == 9:
            first = _terminated(soak, f"down-{i}")
            if i < 10:
                soak.until(lambda first=first: _terminated(soak, "down-9") != first, "the shovel tries again")
        soak.management.call("DELETE", f"/parameters/shovel/%2F/down-{i}")
    soak.management.request("DELETE", "/queues/%2F/from")


def _terminated(soak: Soak, name: str) -> str:
    """Wait until the shovel cannot reach its destination, and return the time."""
    found: list[dict[str, str]] = []

    def is_terminated() -> bool:
        shown = soak.management.call("GET", "/shovels/%2F")
        found[:] = [row for row in shown if (row["name"], row["state"]) == (name, "terminated")]
        return bool(found)

    soak.until(is_terminated, "the shovel is terminated")
    assert "refused" in found[0]["reason"], found[0]["reason"]
    return found[0]["timestamp"]


PHASES = [
    Phase("connections", connections, error="login refused"),
    Phase("limited connections", limited_connections, error="connection limit"),
    Phase("channels", channels),
    Phase("consumers", consumers),
    Phase("durable topology", lambda soak: topology(soak, durable=True)),
    Phase("transient topology", lambda soak: topology(soak, durable=False)),
    Phase("topology that goes by itself", going_by_themselves),
    Phase("policies", policies),
    Phase("redeclared queue", redeclared),
    Phase("redrives", redrives),
    Phase("users", users),
    Phase("vhosts", vhosts),
    Phase("messages over HTTP", messages_over_http),
    Phase("guesses", guesses, is_peak=True),
    Phase("HTTP connections", http_connections),
    Phase("tracing", tracing),
    Phase("events", events, error="login refused"),
    Phase("shovels", shovels),
    Phase("unreachable shovels", unreachable),
]
