import asyncio

import pytest

from amqpbroker.compat import COMPATS
from amqpbroker.config import Config
from amqpbroker.management import peeking
from amqpbroker.message.message import Message, encode_address
from amqpbroker.store.streams.memory_files import MemoryFiles
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire
from tests.management.api import Api

PATH = "queues/%2F/q/peek"
DISCARD = "queues/%2F/q/discard"


@pytest.fixture
async def api():
    return await made()


async def made(config=None, **arguments):
    api = Api(config)
    await api.put(
        "queues/%2F/q", {"durable": True, "arguments": {f"x-{key}": value for key, value in arguments.items()}}
    )
    api.queue = api.broker.vhosts["/"].queues["q"]
    return api


def publish(api, *bodies, priority=0, **headers):
    values = {"headers": headers} if headers else {}
    for body in bodies:
        message = Message(encode_address("", b"q"), encode_properties(values), body)
        message.priority = priority
        api.queue.publish(message)


async def peek(api, **body):
    answer = await api.post(PATH, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def payloads(api, **body):
    return [message["payload"] for message in (await peek(api, **body))["messages"]]


async def whole_search(api, **body):
    """Return the payloads of a sequence of requests, and the number of requests."""
    found, cursor, requests = [], None, 0
    while True:
        answer = await peek(api, cursor=cursor, **body)
        found += [message["payload"] for message in answer["messages"]]
        requests += 1
        cursor = answer["cursor"]
        if cursor is None:
            return found, requests


# --- answer -----------------------------------------------------------------------------------------------------------


async def test_peek_has_the_shape_of_get_with_position_and_checksum(api):
    publish(api, b"one", b"two", tries=Field("l", 3))
    got = await api.post("queues/%2F/q/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"})
    (first,) = (await peek(api, count=1))["messages"]
    assert first.pop("position") == 1
    assert len(first.pop("checksum")) == 8
    assert first == {**got.json()[0], "redelivered": True, "message_count": 2}


async def test_peeked_messages_stay_as_they_are(api):
    publish(api, b"one", b"two")
    before = (await api.get("queues/%2F/q")).json()
    assert await payloads(api) == ["one", "two"]
    assert await payloads(api) == ["one", "two"]
    assert (await api.get("queues/%2F/q")).json() == before
    assert not any(entry.redelivered for entry in api.queue.ready_entries())


async def test_peek_does_not_use_a_queue_that_expires(api):
    api = await made(expires=1000)
    api.clock.advance(900)
    await peek(api)
    api.clock.advance(100)
    assert "q" not in api.broker.vhosts["/"].queues


async def test_cursor_continues_behind_the_last_message_while_the_queue_moves(api):
    publish(api, *[b"%d" % i for i in range(6)])
    answer = await peek(api, count=3)
    assert [message["payload"] for message in answer["messages"]] == ["0", "1", "2"]
    for _ in range(4):
        api.queue.get(True)
    publish(api, b"6")
    assert await payloads(api, cursor=answer["cursor"]) == ["4", "5", "6"]


async def test_answer_behind_the_last_message_has_no_cursor(api):
    publish(api, b"one")
    answer = await peek(api, count=5)
    assert (answer["cursor"], answer["examined"]) == (None, 1)


async def test_payload_is_truncated_and_encoded_as_wanted(api):
    publish(api, b"\xff\0body")
    (first,) = (await peek(api, truncate=2))["messages"]
    assert (first["payload"], first["payload_encoding"], first["payload_bytes"]) == ("/wA=", "base64", 6)
    assert await payloads(api, encoding="base64", truncate=0) == [""]


async def test_answer_is_bounded_by_bytes(api):
    publish(api, *[b"x" * 1_000_000] * 5)
    answer = await peek(api)
    assert len(answer["messages"]) == 3
    assert (await peek(api, cursor=answer["cursor"]))["messages"][0]["position"] == 4
    publish(api, b"y" * 5_000_000)
    *_, last = (await peek(api, cursor=answer["cursor"]))["messages"]
    assert (len(last["payload"]), last["payload_bytes"]) == (peeking.ANSWER_BYTES, 5_000_000)


async def test_messages_of_a_priority_queue_are_in_the_order_of_delivery():
    api = await made(**{"max-priority": 5})
    for i in range(6):
        publish(api, b"%d" % i, priority=i % 3)
    assert (await whole_search(api, count=1))[0] == ["2", "5", "1", "4", "0", "3"]


# --- states -----------------------------------------------------------------------------------------------------------


async def test_unacked_messages_are_listed_with_the_consumer_that_holds_them(api):
    publish(api, b"one", b"two", b"three")
    client = Wire(api.broker).log_in()
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", tag="worker")
    client.get("q", no_ack=False)
    assert await payloads(api) == ["three"]
    first, second = (await peek(api, state="unacked"))["messages"]
    cursor = (await peek(api, state="unacked", count=1))["cursor"]
    assert (first["payload"], first["consumer_tag"], first["position"]) == ("one", "worker", 1)
    assert second["payload"] == "two"
    assert "consumer_tag" not in second
    assert await payloads(api, state="unacked", cursor=cursor) == ["two"]


async def test_messages_settled_in_an_open_transaction_are_still_unacked(api):
    publish(api, b"one")
    client = Wire(api.broker).log_in()
    client.call(1, "tx.select")
    client.get("q", no_ack=False)
    client.send(1, "basic.ack", delivery_tag=1)
    client.receive()
    assert await payloads(api, state="unacked") == ["one"]


async def test_delayed_messages_are_listed_by_due_time():
    api = await made(**{"delayed-retry-type": "all", "delayed-retry-min": 1000})
    publish(api, b"one", b"two")
    entries = [api.queue.get(False), api.queue.get(False)]
    api.queue.requeue([entries[1]])
    api.clock.advance(10)
    api.queue.requeue([entries[0]])
    assert await payloads(api) == []
    answer = await peek(api, state="delayed", count=1)
    assert [(each["payload"], each["due_at"]) for each in answer["messages"]] == [("two", api.clock.wall_ms() + 990)]
    assert await payloads(api, state="delayed", cursor=answer["cursor"]) == ["one"]


# --- search -----------------------------------------------------------------------------------------------------------


async def test_messages_are_found_by_the_value_of_a_header(api):
    publish(api, b"text", customer=longstr("42"))
    publish(api, b"number", customer=Field("l", 42))
    publish(api, b"true", customer=Field("t", True))
    publish(api, b"one", customer=Field("l", 1))
    publish(api, b"other", other=longstr("customer"))
    publish(api, b"none")
    assert await payloads(api, filter={"header": {"customer": "42"}}) == ["text", "number"]
    assert await payloads(api, filter={"header": {"customer": 42}}) == ["number"]
    assert await payloads(api, filter={"header": {"customer": True}}) == ["true"]
    assert await payloads(api, filter={"header": {"customer": "true"}}) == ["true"]
    assert await payloads(api, filter={"header": {"customer": "42", "other": "x"}}) == []


async def test_messages_are_found_by_a_text_of_the_body(api):
    publish(api, "größe 1".encode(), b"groesse", "xgröß".encode())
    assert await payloads(api, filter={"body": "größ"}) == ["größe 1", "xgröß"]


async def test_long_search_is_a_sequence_of_requests_between_which_others_are_served(api, monkeypatch):
    publish(api, *[b"%d" % i for i in range(10_000)])
    # Each message takes a millisecond.
    matches = peeking.MessageFilter.matches

    def slow(self, message):
        api.clock.advance(1)
        return matches(self, message)

    monkeypatch.setattr(peeking.MessageFilter, "matches", slow)
    turns = 0
    searching = asyncio.ensure_future(whole_search(api, filter={"body": "9999"}))
    while not searching.done():
        await asyncio.sleep(0)
        turns += 1
    found, requests = await searching
    assert found == ["9999"]
    assert requests == 10_000 / peeking.REQUEST_MS + 1
    assert turns >= 10_000 / peeking.SLICE_MS


async def test_search_ends_with_the_right_to_read(api, monkeypatch):
    publish(api, *[b"%d" % i for i in range(1000)])
    api.user("reader", vhosts=["/"])
    matches = peeking.MessageFilter.matches

    def slow(self, message):
        api.clock.advance(5)
        api.broker.users.set_permissions("reader", "/", ".*", ".*", "")
        return matches(self, message)

    monkeypatch.setattr(peeking.MessageFilter, "matches", slow)
    answer = await api.post(PATH, {"filter": {"body": "x"}}, auth=("reader", "p"))
    assert answer.status_code == 401


async def test_search_of_a_queue_that_is_deleted_meanwhile_ends(api, monkeypatch):
    publish(api, *[b"%d" % i for i in range(1000)])
    matches = peeking.MessageFilter.matches

    def slow(self, message):
        api.clock.advance(5)
        if not api.queue.closed:
            api.broker.vhosts["/"].delete_queue(api.queue)
        return matches(self, message)

    monkeypatch.setattr(peeking.MessageFilter, "matches", slow)
    answer = await peek(api, filter={"body": "x"})
    assert (answer["messages"], answer["cursor"], answer["examined"]) == ([], None, 1)


# --- refused requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"count": 0}, "count = 0: this must be a whole number from 1 to 1000"),
        ({"count": True}, "count = true: this must be a whole number from 1 to 1000"),
        ({"count": "5"}, 'count = "5": this must be a whole number from 1 to 1000'),
        ({"truncate": -1}, "truncate = -1: this must be a whole number from 0 to 9007199254740991"),
        ({"state": "held"}, 'state = "held": this must be one of ready, unacked, delayed, parked'),
        ({"state": ["ready"]}, 'state = ["ready"]: this must be one of ready, unacked, delayed, parked'),
        ({"encoding": "hex"}, 'encoding = "hex": this must be one of auto, base64'),
        (
            {"cursor": 5},
            "cursor = 5: this must be the cursor of an earlier answer for this queue and the state ready, or null",
        ),
        (
            {"cursor": "ready:0:5"},
            'cursor = "ready:0:5": this must be the cursor of an earlier answer for this queue and the state ready, or '
            "null",
        ),
        ({"filter": "x"}, 'filter = "x": this must be an object with the keys header and body'),
        ({"filter": {"headers": {}}}, 'filter has no key "headers"; the keys are header, body'),
        (
            {"filter": {"header": 5}},
            'filter.header = 5: this must be an object of names and values of headers, such as {"tenant": "a"}',
        ),
        ({"filter": {"header": {"a": None}}}, "filter.header.a = null: this must be a string, a number or a boolean"),
        ({"filter": {"header": {"a": [1]}}}, "filter.header.a = [1]: this must be a string, a number or a boolean"),
        ({"count": 1.5}, "count = 1.5: this must be a whole number from 1 to 1000"),
        ({"filter": {"body": 5}}, "filter.body = 5: this must be a text"),
        (
            {"from": 5},
            'the body has no key "from"; the keys are count, cursor, state, truncate, encoding, filter, offset, '
            "written_at",
        ),
    ],
)
async def test_wrong_values_are_refused_with_a_text(api, body, reason):
    answer = await api.post(PATH, body)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)


async def test_cursor_of_another_queue_or_state_is_refused(api):
    await api.put("queues/%2F/other", {})
    publish(api, b"1", b"2")
    cursor = (await peek(api, count=1))["cursor"]
    for path, body in (("queues/%2F/other/peek", {}), (PATH, {"state": "unacked"})):
        answer = await api.post(path, {"cursor": cursor, **body})
        assert answer.status_code == 400
        assert "the cursor of an earlier answer for this queue and the state" in answer.json()["reason"]


async def test_other_keys_of_a_discard_are_refused(api):
    publish(api, b"1")
    answer = await api.post(DISCARD, {"messages": (await peek(api))["messages"], "state": "ready"})
    assert (answer.status_code, answer.json()["reason"]) == (400, 'the body has no key "state"; the keys are messages')
    assert api.queue.ready_count == 1


async def test_peek_and_discard_need_read_permission_and_a_queue(api):
    api.user("writer")
    api.broker.users.set_permissions("writer", "/", ".*", ".*", "")
    for path in (PATH, DISCARD):
        answer = await api.post(path, {"messages": []}, auth=("writer", "p"))
        assert answer.status_code == 401
        answer = await api.post(path.replace("/q/", "/none/"), {"messages": []})
        assert (answer.status_code, answer.json()["reason"]) == (404, "queue_not_found")


async def test_without_extensions_there_is_no_peek():
    api = await made(Config(compat=COMPATS["4.0"].configured({}, False)))
    assert (await api.post(PATH, {})).status_code == 404
    assert (await api.post(DISCARD, {})).status_code == 404


# --- discard ----------------------------------------------------------------------------------------------------------


async def test_chosen_messages_are_discarded(api):
    publish(api, b"one", b"two", b"three")
    _, two, three = (await peek(api))["messages"]
    assert (await api.post(DISCARD, {"messages": [two, three]})).json() == {"discarded": 2}
    assert await payloads(api) == ["one"]
    assert (await api.post(DISCARD, {"messages": [two]})).json() == {"discarded": 0}


async def test_message_with_another_content_or_that_is_delivered_is_not_discarded():
    api = await made(**{"last-value-key": "key"})
    publish(api, b"old", key=longstr("a"))
    (old,) = (await peek(api))["messages"]
    publish(api, b"new", key=longstr("a"))
    (new,) = (await peek(api))["messages"]
    assert new["position"] == old["position"]
    assert (await api.post(DISCARD, {"messages": [old]})).json() == {"discarded": 0}
    api.queue.get(False)
    assert (await api.post(DISCARD, {"messages": [new]})).json() == {"discarded": 0}


async def test_discarded_messages_are_not_dead_lettered():
    api = await made(**{"dead-letter-exchange": "", "dead-letter-routing-key": "grave"})
    await api.put("queues/%2F/grave", {})
    publish(api, b"one")
    (one,) = (await peek(api))["messages"]
    await api.post(DISCARD, {"messages": [one]})
    assert not api.broker.vhosts["/"].queues["grave"].ready_count


@pytest.mark.parametrize(
    "messages",
    [
        5,
        [],
        [5],
        [{"position": 1}],
        [{"position": True, "checksum": "00000000"}],
        [{"position": 1, "checksum": "xyz"}],
        [{"position": 1, "checksum": 7}],
    ],
)
async def test_messages_that_name_nothing_are_refused(api, messages):
    answer = await api.post(DISCARD, {"messages": messages})
    assert answer.status_code == 400
    assert answer.json()["reason"].startswith("messages = ")


# --- streams ----------------------------------------------------------------------------------------------------------

MINUTE_MS = 60_000


async def made_stream(count, segment_bytes=500_000_000):
    """Return the API of a broker with a stream of messages, of which one was written each minute."""
    api = await made(**{"queue-type": "stream", "stream-max-segment-size-bytes": segment_bytes})
    api.began_ms = api.clock.wall_ms()
    for number in range(count):
        publish(api, b"%d" % number)
        api.broker.sync()
        api.clock.advance(MINUTE_MS)
    return api


async def test_stream_is_read_from_its_first_message():
    api = await made_stream(5)
    answer = await peek(api)
    assert [message["payload"] for message in answer["messages"]] == ["0", "1", "2", "3", "4"]
    assert [message["position"] for message in answer["messages"]] == [0, 1, 2, 3, 4]
    assert answer["messages"][3]["properties"]["headers"]["x-stream-offset"] == 3
    assert (answer["cursor"], answer["examined"]) == (None, 5)
    assert (answer["offset"], answer["next_offset"]) == (0, 5)
    assert api.queue.message_stats()["publish"] == 5
    assert "deliver" not in api.queue.message_stats()


@pytest.mark.parametrize(
    ("offset", "first"),
    [("first", 0), ("last", 4), (0, 0), (3, 3), (-2, 3), (-100, 0), ("150s", 3), ("1h", 0)],
)
async def test_stream_is_read_from_an_offset(offset, first):
    api = await made_stream(5)
    assert await payloads(api, offset=offset) == [str(number) for number in range(first, 5)]


@pytest.mark.parametrize("offset", [5, 2**53 - 1, "1s"])
async def test_nothing_is_read_behind_the_end_of_a_stream(offset):
    api = await made_stream(5)
    answer = await peek(api, offset=offset)
    end = 5 if offset == "1s" else offset
    assert answer == {"messages": [], "cursor": None, "examined": 0, "offset": end, "next_offset": end}


async def test_stream_is_read_from_a_time():
    api = await made_stream(5)
    assert await payloads(api, written_at=api.began_ms + MINUTE_MS) == ["1", "2", "3", "4"]
    assert await payloads(api, written_at=api.began_ms + MINUTE_MS + 1) == ["2", "3", "4"]
    assert await payloads(api, written_at=0) == ["0", "1", "2", "3", "4"]
    assert await payloads(api, written_at=api.began_ms + 10 * MINUTE_MS) == []


async def test_cursor_continues_a_request_that_began_at_an_offset():
    api = await made_stream(10)
    assert await whole_search(api, offset=4, count=2) == (["4", "5", "6", "7", "8", "9"], 4)
    assert await whole_search(api, offset=4, count=5, filter={"body": "7"}) == (["7"], 1)


async def test_stream_whose_oldest_messages_are_removed_is_read_from_those_that_are_left():
    api = await made_stream(10, segment_bytes=1)
    cursor = (await peek(api, count=2))["cursor"]
    await api.put("policies/%2F/p", {"pattern": "^q$", "definition": {"max-length-bytes": 300}})
    first = api.queue.log.first
    assert first > 2
    left = [str(number) for number in range(first, 10)]
    answer = await peek(api, count=1)
    assert (answer["offset"], answer["next_offset"]) == (first, first + 1)
    assert await payloads(api) == await payloads(api, cursor=cursor) == await payloads(api, offset=1) == left


async def test_message_that_is_not_stored_yet_is_not_read():
    api = await made_stream(1)
    publish(api, b"new")
    assert await payloads(api) == ["0"]
    api.broker.sync()
    assert await payloads(api) == ["0", "new"]


@pytest.mark.parametrize("state", ["unacked", "delayed", "parked"])
async def test_stream_has_only_ready_messages(state):
    api = await made_stream(2)
    client = Wire(api.broker).log_in()
    client.call(1, "basic.qos", prefetch_count=5)
    assert len(client.consume("q", arguments={"x-stream-offset": longstr("first")})) == 2
    assert await payloads(api, state=state) == []
    assert await payloads(api) == ["0", "1"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            {"offset": "x"},
            'offset = "x": this must be first, last, a whole number up to 9007199254740991, or an age such as 1h',
        ),
        ({"offset": True}, "offset = true: this must be first,"),
        ({"offset": 1.5}, "offset = 1.5: this must be first,"),
        ({"offset": "next"}, 'offset = "next": this must be first,'),
        ({"written_at": -1}, "written_at = -1: this must be a whole number from 0 to 9007199254740991"),
        ({"offset": 1, "written_at": 1}, "offset and written_at exclude each other"),
    ],
)
async def test_invalid_start_of_a_stream_is_refused(body, reason):
    api = await made_stream(1)
    answer = await api.post(PATH, body)
    assert answer.status_code == 400
    assert answer.json()["reason"].startswith(reason)


@pytest.mark.parametrize("body", [{"offset": 1}, {"offset": "first"}, {"written_at": 5}])
async def test_other_queues_have_no_offsets(api, body):
    answer = await api.post(PATH, body)
    assert answer.status_code == 400
    assert answer.json()["reason"] == "queue 'q' is no stream: leave out offset and written_at"


async def test_stream_that_cannot_be_read_is_reported(monkeypatch):
    api = await made_stream(3)

    def broken(*_):
        raise OSError("no disk")

    monkeypatch.setattr(MemoryFiles, "read", broken)
    for body in ({}, {"written_at": 5}):
        answer = await api.post(PATH, body)
        assert answer.status_code == 503
        assert "no disk" in answer.json()["reason"]
