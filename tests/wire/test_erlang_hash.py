"""Expected values are the results of `erlang:phash2(BINARIES, 134217728)` in Erlang/OTP 27."""

import pytest

from amqpbroker.wire.erlang_hash import phash2_of_binaries


@pytest.mark.parametrize(
    ("binaries", "expected"),
    [
        ([], 113427502),
        ([b""], 38220213),
        ([b"", b""], 8578898),
        ([b"a"], 53691870),
        ([b"orders.eu"], 29650727),
        ([b"orders.eu", b"cc"], 81389840),
        ([b"cc", b"orders.eu"], 13969876),
        ([b"elevenbytes"], 90318421),
        ([b"twelve bytes"], 820021),
        ([b"thirteen byte"], 49841464),
        ([b"twenty-three bytes long"], 45924460),
        ([b"twenty-four bytes, as it"], 98440330),
        ([b"\xff\0\xfe"], 65587997),
        ([b"k" * 255], 33764415),
        ([b"\xff" * 255, b"", b"x"], 59972101),
    ],
)
def test_lists_of_binaries_hash_as_in_erlang(binaries: list[bytes], expected: int) -> None:
    assert phash2_of_binaries(binaries) == expected
