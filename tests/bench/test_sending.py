"""Messages of publishers: chunks of frames that are encoded beforehand."""

from amqpbroker.wire.values import Field
from tests.bench.sending import CHUNK_BYTES, Different, Repeated


def test_chunks_use_the_keys_in_rotation():
    one = Repeated(("a",)).chunks()
    assert [messages for _, messages in one] == [500]
    many = Repeated(tuple(f"q{i:04}" for i in range(1200))).chunks()
    assert [messages for _, messages in many] == [500, 500, 200]
    assert b"q0499" in many[0][0]
    assert b"q0500" in many[1][0]


def test_chunks_are_limited_by_size_and_messages_in_flight():
    assert [messages for _, messages in Repeated(("a",), size=1 << 20).chunks()] == [1]
    assert [messages for _, messages in Repeated(("a",), in_flight=100).chunks()] == [25]
    assert {messages for _, messages in Different(("a",), different=8, in_flight=1).chunks()} == {1}
    assert {messages for _, messages in Different(("a",), different=40, in_flight=40).chunks()} == {10}


def test_chunks_contain_each_application_message_once():
    what = Different(("a", "b", "c"), different=900)
    chunks = what.chunks()
    assert b"".join(data for data, _ in chunks) == b"".join(what.frames())
    assert sum(messages for _, messages in chunks) == 900
    assert all(len(data) <= CHUNK_BYTES for data, _ in chunks)
    assert len(set(what.frames())) == 900


def test_publishers_with_different_seeds_send_different_messages():
    first, second = (Different(("a",), seed=seed, different=300).frames() for seed in (1, 2))
    assert not set(first) & set(second)


def test_all_keys_are_used_in_rotation():
    keys = tuple(f"key-{number:03}" for number in range(30))
    frames = Different(keys, different=7).frames()
    assert len(frames) == 30
    assert all(key.encode() in data for key, data in zip(keys, frames, strict=True))
    few = Different(keys[:2], different=7).frames()
    assert [b"key-000" in data for data in few] == [True, False, True, False, True, False, True]


def test_further_headers_and_the_delivery_mode_are_added():
    plain, further = (
        Different(("a",), different=1, persistent=persistent, headers=headers).frames()[0]
        for persistent, headers in ((False, {}), (True, {"x-delay": Field("I", 200)}))
    )
    assert b"x-delay" not in plain
    assert b"x-delay" in further
    # A delivery mode, and a header: the length of the name, the name, the type and four bytes.
    assert len(further) == len(plain) + 1 + 1 + len("x-delay") + 1 + 4
