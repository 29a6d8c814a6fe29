"""Dead letters. The bytes were recorded from RabbitMQ 4.0.5: properties of dead-lettered messages by basic.get."""

import time

import pytest

from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.dead_letters.dead_letter_builder import DeadLetterBuilder
from amqpbroker.clock import ManualClock
from amqpbroker.compiled import is_compiled
from amqpbroker.message.deaths import Deaths
from amqpbroker.message.message import Message
from amqpbroker.message.pieces import Pieces
from amqpbroker.wire.frames import lone_content
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field, Table, longstr
from tests.broker.routed import integer, publishing
from tests.harness import Wire, make_broker

NOW_MS = 1_795_536_988_765


def die(
    message: Message,
    queue: str = "src",
    reason: str = "rejected",
    exchange: str = "",
    key: bytes | None = b"dst",
    now_ms: int = NOW_MS,
) -> Message:
    """Return the dead letter of a message: `key` is the queue's x-dead-letter-routing-key."""
    settings = QueueSettings(dead_letter_exchange=exchange, dead_letter_routing_key=key)
    departure = DeadLetterBuilder(queue, settings, reason)
    departure.time_s = now_ms // 1000
    return departure.letter(message, departure.record(message))


def is_cycle(message: Message, queue: str) -> bool:
    return Deaths(message.properties).is_cycle(queue)


def headers_of(message: Message) -> Table:
    headers: Table = decode_properties(message.properties)["headers"]
    assert message.headers == headers
    return headers


def x_death(message: Message) -> list[Table]:
    return [field.value for field in headers_of(message)["x-death"].value]


NO_HEADERS = (
    "20000000012a07782d6465617468410000006c460000006705636f756e746c000000000000000106726561736f6e530000000872656a65637465"
    "6405717565756553000000037372630474696d6554000000006b05b85c0865786368616e676553000000000c726f7574696e672d6b6579734100"
    "000008530000000373726316782d66697273742d64656174682d65786368616e6765530000000013782d66697273742d64656174682d71756575"
    "65530000000373726314782d66697273742d64656174682d726561736f6e530000000872656a656374656415782d6c6173742d64656174682d65"
    "786368616e6765530000000012782d6c6173742d64656174682d7175657565530000000373726313782d6c6173742d64656174682d726561736f"
    "6e530000000872656a6563746564"
)
HEADERS = (
    "200000000136016153000000013107782d6465617468410000006c460000006705636f756e746c000000000000000106726561736f6e53000000"
    "0872656a656374656405717565756553000000037372630474696d6554000000006b05b85c0865786368616e676553000000000c726f7574696e"
    "672d6b6579734100000008530000000373726316782d66697273742d64656174682d65786368616e6765530000000013782d66697273742d6465"
    "6174682d7175657565530000000373726314782d66697273742d64656174682d726561736f6e530000000872656a656374656415782d6c617374"
    "2d64656174682d65786368616e6765530000000012782d6c6173742d64656174682d7175657565530000000373726313782d6c6173742d646561"
    "74682d726561736f6e530000000872656a6563746564027a7a56"
)
EXPIRED = (
    "20000000014307782d646561746841000000874600000082136f726967696e616c2d65787069726174696f6e530000000331303005636f756e74"
    "6c000000000000000106726561736f6e53000000076578706972656405717565756553000000037372630474696d6554000000006b05b85c0865"
    "786368616e676553000000000c726f7574696e672d6b6579734100000008530000000373726316782d66697273742d64656174682d6578636861"
    "6e6765530000000013782d66697273742d64656174682d7175657565530000000373726314782d66697273742d64656174682d726561736f6e53"
    "000000076578706972656415782d6c6173742d64656174682d65786368616e6765530000000012782d6c6173742d64656174682d717565756553"
    "0000000373726313782d6c6173742d64656174682d726561736f6e530000000765787069726564"
)
PRIORITY_AND_MODE = (
    "38000000014607782d646561746841000000884600000083136f726967696e616c2d65787069726174696f6e530000000331303005636f756e74"
    "6c000000000000000106726561736f6e530000000872656a656374656405717565756553000000037372630474696d6554000000006b05b85c08"
    "65786368616e676553000000000c726f7574696e672d6b6579734100000008530000000373726316782d66697273742d64656174682d65786368"
    "616e6765530000000013782d66697273742d64656174682d7175657565530000000373726314782d66697273742d64656174682d726561736f6e"
    "530000000872656a656374656415782d6c6173742d64656174682d65786368616e6765530000000012782d6c6173742d64656174682d71756575"
    "65530000000373726313782d6c6173742d64656174682d726561736f6e530000000872656a65637465640205"
)
CLIENT_X_DEATH: Table = {
    "x-death": longstr("mine"),
    "x-first-death-queue": longstr("mine"),
    "x-first-death-reason": Field("I", 1),
    "x-last-death-queue": Field("V", None),
}
#: After work -rejected-> wait -expired-> work, three times; both deaths first happened in second 6b05b8c6.
THREE_ROUNDS = (
    "2000000001c0016853000000013107782d646561746841000000f9460000006805636f756e746c000000000000000306726561736f6e53000000"
    "07657870697265640571756575655300000004776169740474696d6554000000006b05b8c60865786368616e676553000000000c726f7574696e"
    "672d6b65797341000000095300000004776169744600000087136f726967696e616c2d65787069726174696f6e5300000005363030303005636f"
    "756e746c000000000000000306726561736f6e530000000872656a65637465640571756575655300000004776f726b0474696d6554000000006b"
    "05b8c60865786368616e676553000000000c726f7574696e672d6b65797341000000095300000004776f726b16782d66697273742d6465617468"
    "2d65786368616e6765530000000013782d66697273742d64656174682d71756575655300000004776f726b14782d66697273742d64656174682d"
    "726561736f6e530000000872656a656374656415782d6c6173742d64656174682d65786368616e6765530000000012782d6c6173742d64656174"
    "682d717565756553000000047761697413782d6c6173742d64656174682d726561736f6e530000000765787069726564"
)


@pytest.mark.parametrize(
    ("message", "reason", "delivered"),
    [
        (publishing(b"src", exchange=""), "rejected", NO_HEADERS),
        (publishing(b"src", {"a": longstr("1"), "zz": Field("V", None)}, exchange=""), "rejected", HEADERS),
        (publishing(b"src", exchange="", expiration=b"100"), "expired", EXPIRED),
        (
            publishing(b"src", exchange="", expiration=b"00100", delivery_mode=2, priority=5),
            "rejected",
            PRIORITY_AND_MODE,
        ),
        # headers of these names that a client has sent are replaced
        (publishing(b"src", CLIENT_X_DEATH, exchange=""), "rejected", NO_HEADERS),
    ],
)
def test_first_dead_letter_has_the_same_property_bytes_as_in_rabbitmq(
    message: Message, reason: str, delivered: str
) -> None:
    assert die(message, reason=reason).properties.hex() == delivered


def test_dead_letter_after_three_cycles_has_the_bytes_of_rabbitmq() -> None:
    message = publishing(b"work", {"h": longstr("1")}, exchange="", expiration=b"60000")
    for seconds in range(3):
        now_ms = 0x6B05B8C6 * 1000 + seconds * 1000
        message = die(message, "work", "rejected", key=b"wait", now_ms=now_ms)
        message = die(message, "wait", "expired", key=b"work", now_ms=now_ms + 50)
    assert message.properties.hex() == THREE_ROUNDS


def test_dead_letter_is_sent_to_its_exchange_and_does_not_expire() -> None:
    message = publishing(b"key", {"h": longstr("1")}, expiration=b"900", delivery_mode=2, priority=7, message_id=b"m")
    letter = die(message, exchange="dlx", key=b"dead")
    assert (letter.exchange, letter.routing_key, letter.body) == ("dlx", b"dead", b"body")
    assert letter.expiration_ms == -1
    assert letter.persistent
    assert letter.priority == 7
    properties = decode_properties(letter.properties)
    assert {name: value for name, value in properties.items() if name != "headers"} == {
        "delivery_mode": 2,
        "priority": 7,
        "message_id": b"m",
    }
    assert headers_of(letter)["h"] == longstr("1")


def test_dead_lettering_does_not_change_the_original_message() -> None:
    message = publishing(b"key", {"h": longstr("1")}, expiration=b"900")
    before = message.properties
    die(message)
    assert message.properties == before
    assert message.headers == {"h": longstr("1")}
    assert message.expiration_ms == 900
    assert not message.died


def test_dead_letter_keeps_its_routing_keys_if_no_other_key_is_set() -> None:
    message = publishing(b"key", {"CC": Field("A", [longstr("cc")])}, cc=(b"cc",), bcc=(b"bcc",))
    letter = die(message, key=None)
    assert letter.routing_key == b"key"
    assert letter.extra_keys == (b"cc", b"bcc")
    assert letter.cc_keys == 1
    assert headers_of(letter)["CC"] == message.headers["CC"]


def test_too_long_dead_letter_routing_key_is_cut() -> None:
    assert die(publishing(b"key"), key=b"k" * 256).routing_key == b"k" * 255


@pytest.mark.parametrize("key", [b"dead", b""])
def test_dead_letter_routing_key_replaces_all_keys_and_cc_stays_visible(key: bytes) -> None:
    message = publishing(b"key", {"CC": Field("A", [longstr("cc")])}, cc=(b"cc",), bcc=(b"bcc",))
    letter = die(message, key=key)
    assert letter.routing_keys == (key,)
    assert letter.cc_keys == 0
    assert headers_of(letter)["CC"] == message.headers["CC"]


@pytest.mark.parametrize(
    ("cc", "bcc", "shown"),
    [
        ((), (), [b"key"]),
        ((b"k2", b"key"), (b"b1", b"b2"), [b"key", b"k2", b"key"]),
        # BCC hides the first of equal keys: [key, k2, key, key, key, k2] without key and k2
        ((b"k2", b"key", b"key"), (b"key", b"k2"), [b"key", b"key", b"key", b"k2"]),
    ],
)
def test_x_death_shows_cc_and_not_bcc(cc: tuple[bytes, ...], bcc: tuple[bytes, ...], shown: list[bytes]) -> None:
    (entry,) = x_death(die(publishing(b"key", cc=cc, bcc=bcc)))
    assert [key.value for key in entry["routing-keys"].value] == shown


def test_x_death_has_the_exchange_of_each_death() -> None:
    letter = die(publishing(b"key", exchange="orders"), "q1", exchange="dlx", key=b"dead")
    letter = die(letter, "q2", "maxlen", exchange="graveyard", key=b"buried")
    assert [
        (entry["queue"].value, entry["exchange"].value, entry["routing-keys"].value) for entry in x_death(letter)
    ] == [(b"q2", b"dlx", [longstr("dead")]), (b"q1", b"orders", [longstr("key")])]
    headers = headers_of(letter)
    assert headers["x-first-death-exchange"] == longstr("orders")
    assert headers["x-last-death-exchange"] == longstr("dlx")


def test_only_the_first_x_death_entry_has_the_original_expiration() -> None:
    letter = die(die(publishing(b"key", expiration=b"900"), "q1"), "q2")
    assert ["original-expiration" in entry for entry in x_death(letter)] == [False, True]


def test_dead_letter_keeps_other_headers_of_the_client() -> None:
    letter = die(publishing(b"key", {"x-aa": integer(1), "x-delivery-count": longstr("mine")}))
    assert list(headers_of(letter))[:3] == ["x-aa", "x-death", "x-delivery-count"]


def chain_cpu_s(queues: int) -> float:
    """Return the CPU time of a message that expires at once in each of these queues, and moves to the next."""
    broker = make_broker(ManualClock())
    client = Wire(broker).log_in()
    for number in range(queues):
        key = longstr(f"q{number + 1}")
        arguments = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": key}
        client.declare(f"q{number}", arguments={"x-message-ttl": integer(0), **arguments})
    client.declare(f"q{queues}")
    start = time.thread_time()
    client.publish("q0", b"")
    spent = time.thread_time() - start
    assert broker.vhosts["/"].queues[f"q{queues}"].ready_count == 1
    return spent


@pytest.mark.alone
@pytest.mark.skipif(is_compiled(), reason="compiled code takes deaths apart about as quickly as it copies them")
def test_cost_of_a_death_hardly_grows_with_earlier_deaths() -> None:
    # The bytes of x-death grow with each death and are copied, but they are not parsed each time.
    few, many = (min(chain_cpu_s(queues) for _ in range(3)) for queues in (250, 1_000))
    assert many < few * 10


def test_dead_letter_cycle_is_detected_without_x_death_of_the_client() -> None:
    client = {"x-death": Field("A", [Field("F", {"queue": longstr("q"), "reason": longstr("expired")})])}
    message = publishing(b"key", client)
    assert not is_cycle(die(message, "other", "expired"), "q")
    expired = die(message, "q", "expired")
    assert is_cycle(expired, "q")
    assert not is_cycle(expired, "other")
    assert not is_cycle(die(expired, "q", "rejected"), "q")


def test_reading_headers_of_a_dead_letter_does_not_change_it() -> None:
    message = publishing(b"src", {"a": longstr("1"), "x-death": integer(7)}, expiration=b"900", priority=3)
    unseen = seen = message
    for queue in ("one", "two", "three", "one"):
        unseen = die(unseen, queue, "expired")
        seen = die(seen, queue, "expired")
        assert x_death(seen)[0]["queue"] == longstr(queue)
    assert unseen.properties == seen.properties
    assert unseen.headers == seen.headers
    assert [(entry["queue"], entry["count"].value) for entry in x_death(unseen)] == [
        (longstr("one"), 2),
        (longstr("three"), 1),
        (longstr("two"), 1),
    ]


CHAIN = ("one", "two", "three", "one")


def test_dead_letter_is_equal_for_framed_pieced_and_plain_messages() -> None:
    sent = publishing(b"src", {"a": longstr("1")}, expiration=b"900", priority=3)
    pieces = Pieces()
    pieces.add(sent.body)
    framed = Message(sent.address, None, None, sent.size, lone_content(7, sent.properties, [sent.body], sent.size), 7)
    pieced = Message(sent.address, sent.properties, pieces)
    for content in (framed, pieced):
        content.expiration_ms, content.priority = sent.expiration_ms, sent.priority
    for queue in CHAIN:
        sent, framed, pieced = (die(message, queue, "expired") for message in (sent, framed, pieced))
        for message in (framed, pieced):
            assert message.properties == sent.properties
            assert message.headers == sent.headers
            assert (message.body, message.size, message.priority) == (sent.body, sent.size, 3)
    assert framed.frames == lone_content(7, sent.properties, [sent.body], sent.size)


def test_consecutive_dead_letters_with_equal_addresses_share_one_object() -> None:
    departure = DeadLetterBuilder("q", QueueSettings(dead_letter_exchange="dlx"), "expired")
    addresses = []
    for key in (b"k1", b"k1", b"k2", b"k1"):
        message = publishing(key)
        addresses.append(departure.letter(message, departure.record(message)).address)
    assert addresses == [b"\x03dlx\x02k1", b"\x03dlx\x02k1", b"\x03dlx\x02k2", b"\x03dlx\x02k1"]
    assert addresses[0] is addresses[1]
