"""Protocol header, login, tuning, opening a vhost, closing (2.1)."""

from __future__ import annotations

from typing import Any

from conformance.client import DEFAULT_CAPABILITIES, Connection
from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value, encode_table

AMQP_091 = b"AMQP\x00\x00\x09\x01"
LOGIN = {"mechanism": "PLAIN", "response": "\0guest\0guest", "locale": "en_US"}


def started(lab: Lab) -> Connection:
    """A connection that has had connection.start."""
    raw = lab.raw()
    raw.send(AMQP_091)
    raw.forget(raw.wait(0, "connection.start"))
    return raw


def tuned(lab: Lab) -> Connection:
    """A connection that has had connection.tune."""
    raw = started(lab)
    raw.send_method(0, "connection.start-ok", client_properties={"capabilities": DEFAULT_CAPABILITIES}, **LOGIN)
    raw.forget(raw.wait(0, "connection.tune"))
    return raw


def opened(raw: Connection, **tune: int) -> None:
    """Answer connection.tune and open `/`."""
    raw.send_method(0, "connection.tune-ok", **({"channel_max": 2047, "frame_max": 131072} | tune))
    raw.send_method(0, "connection.open", virtual_host="/")


def end_without_heartbeats(connection: Connection) -> None:
    """Close the connection, and forget the heartbeats: whether there were any is a matter of milliseconds."""
    connection.close()
    for event in [one for one in connection.events if one.name == "heartbeat"]:
        connection.forget(event)


@family(
    {
        "091": (AMQP_091,),
        "09": (b"AMQP\x01\x01\x00\x09",),
    }
)
def header_accepted(lab: Lab, header: bytes) -> None:
    """A protocol header that is answered with connection.start."""
    raw = lab.raw()
    raw.send(header)
    raw.wait(0, "connection.start", "protocol header")


@family(
    {
        "092": (b"AMQP\x00\x00\x09\x02",),
        "0100": (b"AMQP\x00\x00\x0a\x00",),
        "08": (b"AMQP\x01\x01\x08\x00",),
        "08_zero": (b"AMQP\x00\x00\x08\x00",),
        "010": (b"AMQP\x01\x01\x00\x0a",),
        "10_plain": (b"AMQP\x00\x01\x00\x00",),
        "10_tls": (b"AMQP\x02\x01\x00\x00",),
        "http": (b"GET / HTTP/1.1\r\n\r\n",),
        "garbage": (b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8",),
        "tls_hello": (b"\x16\x03\x01\x00\xa5\x01\x00\x00",),
    }
)
def header_refused(lab: Lab, header: bytes) -> None:
    """A protocol header that is answered with the one the server prefers, then the socket is closed."""
    raw = lab.raw()
    raw.send(header)
    raw.wait_lost()


@case()
def header_short(lab: Lab) -> None:
    """Fewer than eight bytes and then the end of the client's sending."""
    raw = lab.raw()
    raw.send(b"AMQP\x00")
    raw.shut()
    raw.wait_lost()


@case()
def start_to_open(lab: Lab) -> None:
    """The whole orderly handshake, then an orderly close."""
    raw = tuned(lab)
    opened(raw)
    raw.wait(0, "connection.open-ok")
    raw.send_method(0, "connection.close", reply_code=200, reply_text="bye")
    raw.wait(0, "connection.close-ok")


@case()
def pipelined(lab: Lab) -> None:
    """A client that sends the whole handshake and a declare in one write."""
    raw = lab.raw()
    raw.send(AMQP_091)
    raw.send_method(0, "connection.start-ok", client_properties={}, **LOGIN)
    opened(raw)
    raw.wait(0, "connection.open-ok")
    raw.send_method(1, "channel.open")
    raw.send_method(1, "exchange.declare", exchange="amq.direct", passive=True)
    raw.wait(1, "exchange.declare-ok")


@case()
def byte_by_byte(lab: Lab) -> None:
    """A header that arrives in eight pieces is a header."""
    raw = lab.raw()
    for at in range(8):
        raw.send(AMQP_091[at : at + 1])
    raw.wait(0, "connection.start")


@family({"nothing_said": (b"",), "half_a_header": (b"AMQP",), "header_only": (AMQP_091,)})
def timeout(lab: Lab, said: bytes) -> None:
    """A client that does not go on with the handshake is dropped after a while."""
    raw = lab.raw()
    raw.send(said)
    raw.wait_lost(20)
    for event in [one for one in raw.events if one.name == "connection.start"]:
        raw.forget(event)


@case()
def anonymous(lab: Lab) -> None:
    """ANONYMOUS logs in without a name."""
    raw = started(lab)
    raw.send_method(0, "connection.start-ok", mechanism="ANONYMOUS", response="", locale="en_US")
    raw.wait(0, "connection.tune")
    opened(raw)
    raw.wait(0, "connection.open-ok")


@case()
def amqplain(lab: Lab) -> None:
    """AMQPLAIN carries a table without its length prefix."""
    raw = started(lab)
    response = encode_table({"LOGIN": "guest", "PASSWORD": "guest"})[4:]
    raw.send_method(0, "connection.start-ok", mechanism="AMQPLAIN", response=response, locale="en_US")
    raw.wait(0, "connection.tune")


@family(
    {
        "wrong_password": ({"LOGIN": "guest", "PASSWORD": "no"},),
        "no_password": ({"LOGIN": "guest"},),
        "no_login": ({"PASSWORD": "guest"},),
    }
)
def amqplain_refused(lab: Lab, table: dict[str, str]) -> None:
    """AMQPLAIN that does not log in, by a client that wants to be told."""
    raw = started(lab)
    raw.send_method(
        0,
        "connection.start-ok",
        client_properties={"capabilities": DEFAULT_CAPABILITIES},
        mechanism="AMQPLAIN",
        response=encode_table(table)[4:],
        locale="en_US",
    )
    raw.wait(0, "connection.tune")
    raw.wait_lost()


@family(
    {
        "wrong_password": ("\0guest\0wrong", True),
        "unknown_user": ("\0nobody\0guest", True),
        "empty_password": ("\0guest\0", True),
        "empty_user": ("\0\0guest", True),
        "quiet": ("\0guest\0wrong", False),
        "malformed": ("guest", True),
        "malformed_one_zero": ("\0guest", True),
        "with_authzid": ("admin\0guest\0guest", True),
        "empty_response": ("", True),
        "password_with_zero": ("\0guest\0guest\0x", True),
    }
)
def plain(lab: Lab, response: str, told: bool) -> None:
    """PLAIN responses that are not the usual one; `quiet` is a client that did not announce it wants to be told."""
    raw = started(lab)
    capabilities: Any = DEFAULT_CAPABILITIES if told else {}
    raw.send_method(
        0,
        "connection.start-ok",
        client_properties={"capabilities": capabilities},
        mechanism="PLAIN",
        response=response,
        locale="en_US",
    )
    if raw.wait(0, "connection.tune", "connection lost").name != "connection.tune":
        raw.wait_lost()


@family({"agrees": (True,), "says_nothing": (False,)})
def refused_client(lab: Lab, agrees: bool) -> None:
    """Time until the broker drops a client after a refused login, with and without connection.close-ok."""
    raw = lab.raw()
    raw.answer_close = agrees
    began = lab.network.now_s()
    raw.handshake("nobody", "wrong")
    raw.wait_lost()
    lab.observe("dropped after a second", lab.network.now_s() - began > 1)


@family({"told": (True,), "quiet": (False,)})
def unknown_mechanism(lab: Lab, told: bool) -> None:
    """A mechanism the server did not offer."""
    raw = started(lab)
    raw.send_method(
        0,
        "connection.start-ok",
        client_properties={"capabilities": DEFAULT_CAPABILITIES if told else {}},
        mechanism="SCRAM-SHA-256",
        response="n,,n=guest",
        locale="en_US",
    )
    raw.wait_lost()


@family(
    {
        "other": ("de_DE",),
        "empty": ("",),
    }
)
def locale(lab: Lab, name: str) -> None:
    """A locale the server did not offer."""
    raw = started(lab)
    raw.send_method(0, "connection.start-ok", mechanism="PLAIN", response="\0guest\0guest", locale=name)
    raw.wait(0, "connection.tune")


@family(
    {
        "channel_max_small": ({"channel_max": 1},),
        "channel_max_zero": ({"channel_max": 0},),
        "channel_max_above": ({"channel_max": 2048},),
        "channel_max_65535": ({"channel_max": 65535},),
        "frame_max_4096": ({"frame_max": 4096},),
        "frame_max_4095": ({"frame_max": 4095},),
        "frame_max_1": ({"frame_max": 1},),
        "frame_max_zero": ({"frame_max": 0},),
        "frame_max_above": ({"frame_max": 131073},),
        "heartbeat_off": ({"heartbeat": 0},),
        "heartbeat_above": ({"heartbeat": 600},),
    }
)
def tune(lab: Lab, answer: dict[str, int]) -> None:
    """tune-ok with unusual values, then connection.open."""
    raw = tuned(lab)
    opened(raw, **answer)
    if raw.wait(0, "connection.open-ok", "connection lost").name == "connection.close":
        raw.wait_lost()


@case()
def heartbeat_sent(lab: Lab) -> None:
    """The server sends a heartbeat when it had nothing to say for half the interval."""
    connection = lab.connect(heartbeat_s=2)
    connection.wait(0, "heartbeat")


@case()
def heartbeat_rate(lab: Lab) -> None:
    """The server sends a heartbeat every half interval on an idle connection."""
    connection = lab.connect(heartbeat_s=2)
    start = lab.network.now_s()
    lab.sleep(0)
    came = []
    for _ in range(3):
        connection.forget(connection.wait(0, "heartbeat"))
        came.append(round(2 * (lab.network.now_s() - start)) / 2)
    lab.observe("heartbeats came after", came)


@case()
def heartbeat_beside_traffic(lab: Lab) -> None:
    """Only the first heartbeat is sent to a client that receives other frames in each half interval."""
    connection = lab.connect(heartbeat_s=2)
    ch = lab.channel(connection)
    came = 0
    for _ in range(14):
        lab.sleep(0.25)
        ch.sync()
        for event in [one for one in connection.events if one.name == "heartbeat"]:
            connection.forget(event)
            came += 1
    lab.observe("heartbeats", came)


@case()
def heartbeat_missed(lab: Lab) -> None:
    """A client that stays silent for two intervals is dropped without a word."""
    connection = lab.connect(heartbeat_s=1)
    connection.wait(0, "heartbeat")
    connection.wait_lost()


@case()
def heartbeat_any_traffic_counts(lab: Lab) -> None:
    """A client that sends methods and no heartbeats is kept."""
    connection = lab.connect(heartbeat_s=1)
    ch = lab.channel(connection)
    for _ in range(12):
        lab.sleep(0.4)
        ch.sync()
    ch.exchange("amq.direct", passive=True)
    end_without_heartbeats(connection)


@case()
def heartbeat_frames_count(lab: Lab) -> None:
    """A client that sends only heartbeats is kept."""
    connection = lab.connect(heartbeat_s=1)
    for _ in range(12):
        lab.sleep(0.4)
        connection.send_frame(8, 0)
    lab.channel(connection).exchange("amq.direct", passive=True)
    end_without_heartbeats(connection)


@family(
    {
        "missing": ("nope",),
        "empty": ("",),
        "long": ("v" * 255,),
        "quote": ("it's",),
        "no_utf8": (b"\xff\xfe",),
    }
)
def vhost(lab: Lab, name: str | bytes) -> None:
    """Opening a vhost that is not there."""
    raw = tuned(lab)
    raw.send_method(0, "connection.tune-ok", channel_max=2047, frame_max=131072, heartbeat=0)
    raw.send_method(0, "connection.open", virtual_host=name)
    if raw.wait(0, "connection.open-ok", "connection lost").name == "connection.close":
        raw.wait_lost()


@case()
def open_twice(lab: Lab) -> None:
    """A second connection.open on an open connection."""
    connection = lab.connection
    connection.send_method(0, "connection.open", virtual_host="/")
    connection.wait(0, "connection.open-ok")
    connection.wait_lost()


@family(
    {
        "start_ok": ("connection.start-ok", {}),
        "tune_ok": ("connection.tune-ok", {}),
        "secure_ok": ("connection.secure-ok", {}),
        "start": ("connection.start", {}),
        "open_ok": ("connection.open-ok", {}),
        "blocked": ("connection.blocked", {}),
        "close_ok": ("connection.close-ok", {}),
    }
)
def out_of_place(lab: Lab, method: str, arguments: dict[str, Any]) -> None:
    """A connection method that has no business on an open connection."""
    connection = lab.connection
    connection.send_method(0, method, **arguments)
    connection.wait(0, "connection.close", "connection lost")
    connection.wait_lost()


@family(
    {
        "open_before_login": ("connection.open", {"virtual_host": "/"}),
        "tune_ok_before_login": ("connection.tune-ok", {}),
        "channel_open": ("channel.open", {}),
    }
)
def too_early(lab: Lab, method: str, arguments: dict[str, Any]) -> None:
    """A method in place of connection.start-ok."""
    raw = started(lab)
    raw.send_method(0 if method.startswith("connection") else 1, method, **arguments)
    raw.wait(0, "connection.close", "connection lost")
    raw.wait_lost()


@case()
def too_early_channel_after_tune(lab: Lab) -> None:
    """A channel opened after tune-ok and before connection.open."""
    raw = tuned(lab)
    raw.send_method(0, "connection.tune-ok", channel_max=2047, frame_max=131072, heartbeat=0)
    raw.send_method(1, "channel.open")
    raw.wait(1, "channel.open-ok")


@case()
def too_early_close(lab: Lab) -> None:
    """connection.close in place of connection.start-ok."""
    raw = started(lab)
    raw.send_method(0, "connection.close", reply_code=200, reply_text="no")
    raw.wait(0, "connection.close-ok", "connection lost")
    raw.wait_lost()


@case()
def login_frame_too_large(lab: Lab) -> None:
    """Before the login a frame may have 4096 bytes."""
    raw = started(lab)
    raw.send_method(0, "connection.start-ok", client_properties={"filler": "x" * 5000}, **LOGIN)
    raw.wait(0, "connection.tune", "connection lost")
    raw.wait_lost()


@case()
def login_frame_large(lab: Lab) -> None:
    """A start-ok just below the limit that holds before the login."""
    raw = started(lab)
    raw.send_method(0, "connection.start-ok", client_properties={"filler": "x" * 3900}, **LOGIN)
    raw.wait(0, "connection.tune", "connection lost")


@case()
def client_properties_of_every_type(lab: Lab) -> None:
    """Client properties with unusual value types do no harm."""
    raw = started(lab)
    properties = {
        "a": Value("b", 1),
        "b": Value("D", (2, 314)),
        "c": [1, "x", None],
        "d": Value("T", 1700000000),
        "e": Value("x", b"\xff"),
        "capabilities": {"basic.nack": False, "unknown": True},
    }
    raw.send_method(0, "connection.start-ok", client_properties=properties, **LOGIN)
    raw.wait(0, "connection.tune")


@case()
def update_secret(lab: Lab) -> None:
    """connection.update-secret with the password the user has."""
    connection = lab.connection
    connection.send_method(0, "connection.update-secret", new_secret="guest", reason="rotation")
    connection.wait(0, "connection.update-secret-ok")


@case()
def close_with_open_channels(lab: Lab) -> None:
    """connection.close ends the channels without closing each."""
    ch = lab.channel()
    lab.channel()
    ch.queue(lab.q())
    ch.connection.send_method(0, "connection.close", reply_code=200, reply_text="bye")
    ch.connection.wait(0, "connection.close-ok")


@case()
def frames_after_connection_close(lab: Lab) -> None:
    """After the server's connection.close everything but close-ok is ignored."""
    ch = lab.channel()
    ch.connection.answer_close = False
    ch.publish("", lab.q(), immediate=True)
    ch.closed()
    ch.connection.send_method(ch.number, "queue.declare", queue=lab.q())
    ch.connection.send_method(5, "channel.open")
    lab.quiet()
    ch.connection.send_method(0, "connection.close-ok")
    ch.connection.wait_lost()


@case()
def close_crossing(lab: Lab) -> None:
    """The client's own connection.close after the server's."""
    ch = lab.channel()
    ch.connection.answer_close = False
    ch.publish("", lab.q(), immediate=True)
    ch.closed()
    ch.connection.send_method(0, "connection.close", reply_code=200, reply_text="me too")
    ch.connection.wait(0, "connection.close-ok", "connection lost")
    lab.quiet()
