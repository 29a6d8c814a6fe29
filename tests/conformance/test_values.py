import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.errors import MalformedFrameError
from conformance.values import Reader, Value, encode_table, encode_value, show_long, show_table, show_value

SCALARS = st.one_of(
    st.builds(Value, st.just("t"), st.booleans()),
    st.builds(Value, st.just("b"), st.integers(-128, 127)),
    st.builds(Value, st.just("B"), st.integers(0, 255)),
    st.builds(Value, st.just("s"), st.integers(-(2**15), 2**15 - 1)),
    st.builds(Value, st.just("u"), st.integers(0, 2**16 - 1)),
    st.builds(Value, st.just("I"), st.integers(-(2**31), 2**31 - 1)),
    st.builds(Value, st.just("i"), st.integers(0, 2**32 - 1)),
    st.builds(Value, st.sampled_from("lL"), st.integers(-(2**63), 2**63 - 1)),
    st.builds(Value, st.just("d"), st.floats(allow_nan=False)),
    st.builds(Value, st.just("T"), st.integers(0, 2**64 - 1)),
    st.builds(Value, st.just("D"), st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1))),
    st.builds(Value, st.sampled_from("Sx"), st.binary(max_size=20)),
    st.just(Value("V")),
)
KEYS = st.text(st.characters(codec="ascii"), max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(Value, st.just("A"), st.lists(inner, max_size=3)),
        st.builds(Value, st.just("F"), st.lists(st.tuples(KEYS, inner), max_size=3)),
    ),
    max_leaves=8,
)


@given(st.lists(st.tuples(KEYS, VALUES), max_size=5))
def test_decoded_table_keeps_types_order_and_repeated_keys(pairs):
    assert Reader(encode_table(pairs)).table() == pairs


@pytest.mark.parametrize(
    ("value", "letter"),
    [
        (True, b"t"),
        (1, b"I"),
        (2**31, b"l"),
        (1.0, b"d"),
        ("a", b"S"),
        (b"a", b"x"),
        (None, b"V"),
        ([], b"A"),
        ({}, b"F"),
    ],
)
def test_python_values_are_encoded_as_the_types_clients_use(value, letter):
    assert encode_value(value)[:1] == letter


@pytest.mark.parametrize("data", [b"\0\0\0\x04\x01a?\0", b"\0\0\0\x09\x01aI", b"\0\0"])
def test_invalid_table_is_malformed(data):
    with pytest.raises(MalformedFrameError):
        Reader(data).table()


def test_the_type_of_every_value_is_shown():
    pairs = [("n", Value("l", 1)), ("t", Value("F", [("x", Value("V"))])), ("a", Value("A", [Value("S", b"s")]))]
    assert show_table(pairs) == {"n": "l:1", "t": {"x": "V:"}, "a": ["S:s"]}


def test_repeated_table_key_is_shown_with_a_number():
    assert show_table([("k", Value("I", 1)), ("k", Value("I", 2))]) == {"k": "I:1", "k (2)": "I:2"}


def test_valid_utf_8_is_shown_as_text_and_other_bytes_as_hex():
    assert show_value(Value("S", "žluť".encode())) == "S:žluť"
    assert show_value(Value("S", b"\xff\0")) == "S:hex:ff00"


def test_long_bytes_are_shown_as_a_length_and_a_digest():
    assert show_long(b"x" * 101).startswith("101 bytes, sha256 ")
    assert show_long(b"x" * 100) == "x" * 100
