"""What the near-free clients send, and how they share the work."""

from tests.bench.clients import Publishing


def test_chunks_take_the_keys_in_turn():
    one = Publishing(("a",)).chunks()
    assert [messages for _, messages in one] == [500]
    many = Publishing(tuple(f"q{i:04}" for i in range(1200))).chunks()
    assert [messages for _, messages in many] == [500, 500, 200]
    assert b"q0499" in many[0][0]
    assert b"q0500" in many[1][0]


def test_a_chunk_is_neither_large_nor_more_than_may_be_in_flight():
    assert [messages for _, messages in Publishing(("a",), size=1 << 20).chunks()] == [1]
    assert [messages for _, messages in Publishing(("a",), in_flight=100).chunks()] == [25]
